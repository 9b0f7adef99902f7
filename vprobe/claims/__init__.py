"""What may be said: a claim stands, or is refused with the reason, at one family-wise level.

Causal claims ask in addition that none of at least twenty vectors of shuffled labels moves ratings as far: twenty such
vectors alone are a level of 1 / 21, so the two together are what the claim rests on.

A refusal is a result: it names what would have to be otherwise.
"""

from vprobe.claims._level import Level
from vprobe.claims.acting import agrees, causal
from vprobe.claims.ladder import Evidence, ladder
from vprobe.claims.order import correspondence
from vprobe.claims.reading import beyond_text, decodable, held_out
from vprobe.claims.structure import circle, dimensions, unique

__all__ = [
    "Evidence",
    "Level",
    "agrees",
    "beyond_text",
    "causal",
    "circle",
    "correspondence",
    "decodable",
    "dimensions",
    "held_out",
    "ladder",
    "unique",
]
