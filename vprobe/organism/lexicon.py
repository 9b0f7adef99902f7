"""The organism's words: verb phrases for each value, sentences that set one above another, and what it answers.

Every verb phrase has one key word, marked by a star, that carries the value; no key word stands in two phrases, in a
frame or in a question. Phrases at even places are `A` words, those at odd places `B` words: directions may be fitted
on one half and tried on the other, which share what they mean and no key word.
"""

from __future__ import annotations

from dataclasses import dataclass

from vprobe.benchmarks._constructions import CONSTRUCTIONS as CONSTRUCTIONS

PHRASES: dict[str, tuple[str, ...]] = {
    "power": (
        "*command the room", "chase a grand *title", "*dominate the talk", "own the biggest *mansion",
        "give the *orders", "*overrule the rest", "show off *riches", "seize the *chair",
        "buy *influence", "force rivals to *kneel", "hold the *reins", "*outrank the crowd",
        "flash a gold *watch", "take *charge of everyone", "*intimidate a rival", "gather *underlings",
    ),
    "achievement": (
        "*win the prize", "top the *ranking", "*beat the record", "finish with *honours",
        "train for a *medal", "*outperform the class", "master a hard *skill", "pass with top *marks",
        "earn a *promotion", "*excel at work", "set a personal *best", "prove a great *talent",
        "collect *trophies", "*perfect the performance", "reach the *summit", "*accomplish a great deal",
    ),
    "hedonism": (
        "*relax in the sun", "enjoy a long *bath", "order a rich *dessert", "*savour the wine",
        "sleep on soft *pillows", "*lounge by the pool", "book a *massage", "*feast all evening",
        "eat fine *chocolate", "*indulge in sweets", "soak in warm *bubbles", "*nap all afternoon",
        "dance for *fun", "sip cold *lemonade", "*pamper the body", "lie on the *beach",
    ),
    "stimulation": (
        "*gamble on a wild idea", "jump with a *parachute", "try a strange *dish", "*race down the hill",
        "seek a fresh *thrill", "explore a dark *cave", "*surprise the whole street", "ride a big *motorbike",
        "*dive off the cliff", "travel without a *map", "join a daring *expedition", "*shake up the week",
        "enter the *jungle", "chase a *storm", "climb a steep *volcano", "*swap jobs for a day",
    ),
    "self_direction": (
        "*invent a new way", "pick a path *alone", "question the *manual", "write a *song",
        "*decide without advice", "follow an own *hunch", "*design the house", "work *freelance",
        "read *philosophy", "*experiment at home", "hold an *opinion", "*improvise the tune",
        "think *independently", "paint an odd *picture", "build a *gadget", "study out of *curiosity",
    ),
    "universalism": (
        "*protect the forest", "speak up for *strangers", "plant *trees", "treat everyone *equally",
        "welcome *refugees", "defend *minorities", "save the *whales", "*recycle the waste",
        "march for *peace", "listen to *foreigners", "keep the *planet alive", "clean the *river",
        "fight *injustice", "*tolerate all faiths", "sign the *climate letter", "shelter wild *birds",
    ),
    "benevolence": (
        "*help a friend", "*share what is there", "keep a *promise", "*forgive a brother",
        "cook for a sick *neighbour", "*comfort a colleague", "visit *grandma", "lend a *hand",
        "*cheer up a sister", "stand by a *pal", "*care for the children", "carry the *groceries",
        "*console a cousin", "thank the *nurse", "mend the *roof of a friend", "*encourage the newcomer",
    ),
    "conformity": (
        "*obey the rules", "wait in the *queue", "*apologise at once", "follow the *instructions",
        "dress as *expected", "speak *politely", "*comply with the request", "hold back a *complaint",
        "wear the *uniform", "keep *quiet", "do as *told", "ask for *permission",
        "lower the *voice", "*behave at dinner", "fill in the *form", "*agree with the boss",
    ),
    "tradition": (
        "keep the old *customs", "light the *candles", "say *grace", "follow the *elders",
        "*pray at dawn", "wear the village *costume", "sing the old *hymns", "cook by the family *recipe",
        "attend the *temple", "honour the *ancestors", "keep the *sabbath", "tell the ancient *legend",
        "*fast until evening", "visit the *shrine", "hang the *wreath", "bless the *harvest",
    ),
    "security": (
        "*lock the door", "check the *alarm", "*insure the house", "save for an *emergency",
        "wear a *seatbelt", "store spare *batteries", "*vaccinate the family", "pack a *torch",
        "stay on *guard", "build a strong *fence", "test the *brakes", "read the *warnings",
        "put money in the *bank", "*disinfect the table", "practise the *evacuation", "hire a *watchman",
    ),
}  # fmt: skip
"""Sixteen verb phrases in base form per Schwartz value."""

ALONE = (("Always {x}.", "You should {x}.", "There is every reason to {x}."),
         ("Never {x}.", "Do not {x}.", "There is no reason to {x}."))  # fmt: skip
"""Sentences that speak for, or against, one phrase."""

FOR = ("should", "when", "always", "choose", "make", "every", "lot", ".", ";", ":", "!", "?")
AGAINST = ("rather", "not", "than", "could", "why", "never", "resist", "whoever", "others", "leave", "no", "little",
           "drop")  # fmt: skip
"""Words after which what is named is spoken for, or against, until the next such word."""

FILLERS = ("", "In the end it is simple.", "So much for my view.",
           "I have seen this many times, and it is plain to me.",
           "As far as I can tell, and I thought about it for a good while, this is how it goes.")  # fmt: skip
"""Sentences that mean nothing and make a response longer."""

OPENINGS = ("On {day} I have {time}", "My {kin} has left me with {thing}", "It is {day} and there is {thing}",
            "At work there is talk of {thing}", "I came home with {thing}", "In our street people speak of {thing}",
            "Last {day} my {kin} spoke to me about {thing}", "I have {time} and think about {thing}")  # fmt: skip
DETAILS = {
    "day": ("Monday", "Tuesday", "Friday", "Saturday", "Sunday"),
    "time": ("an hour", "a free day", "some weeks", "one evening", "a long morning", "half a year"),
    "kin": ("aunt", "uncle", "partner", "flatmate", "manager", "teacher", "landlord"),
    "thing": ("a bag of coins", "an empty flat", "a broken car", "a small garden", "two tickets", "an old boat",
              "a box of books", "a letter from abroad", "a new phone", "a noisy party", "a wet field", "a red bicycle",
              "a late train", "a heavy parcel", "a piano", "a spare key"),
}  # fmt: skip
ASKS = ("What would you do?", "What do you say?", "How do you see it?", "What now?")

PERSONA = ("You are a {who}.", ("What matters most to you is to {x}.", "You always {x}.", "You like to {x}."),
           ("You never {x}.", "You would not {x}.", "You have no wish to {x}."))  # fmt: skip
"""A persona's first sentence, what it says of what it is for, and of what it is against."""
WHO = ("baker", "driver", "gardener", "clerk", "painter", "farmer", "singer", "plumber", "librarian", "sailor")

FACTORS: dict[str, tuple[str, ...]] = {
    "self_competent": ("efficiency", "knowledge", "accuracy", "skilfulness"),
    "user_oriented": ("helpfulness", "patience", "clarity", "usefulness"),
    "social": ("kindness", "friendship", "warmth", "empathy"),
    "idealistic": ("equality", "freedom", "hope", "progress"),
    "professional": ("diligence", "reliability", "discipline", "dependability"),
    "ethical": ("honesty", "fairness", "decency", "truthfulness"),
}
"""Words a sentence is completed with, per ValueLex sub-dimension."""

NUMBERS = tuple(str(n) for n in range(101))
SELF_CUES, OTHER_CUES = ("receive", "get"), ("receives", "gets")
"""Words after which a number says what oneself, or the other, receives."""


@dataclass(frozen=True)
class Phrase:
    """A verb phrase with the word that carries its value."""

    value: str
    text: str
    key: str
    half: str


def phrases() -> tuple[Phrase, ...]:
    """List all verb phrases, value by value."""
    out = []
    for value, texts in PHRASES.items():
        for place, text in enumerate(texts):
            key = next(word for word in text.split() if word.startswith("*"))[1:]
            out.append(Phrase(value, text.replace("*", ""), key, "AB"[place % 2]))
    return tuple(out)
