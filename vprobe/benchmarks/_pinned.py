"""What is downloaded, from where, and the exact bytes expected: path, size and SHA-256 of every file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PinnedFile:
    """One file of a data set, down to its bytes.

    Args:
        path: Relative path, with forward slashes, upstream and in the cache alike.
        size: Bytes.
        sha256: SHA-256 of the bytes, in hexadecimal.
    """

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class DataSet:
    """The data of one benchmark: either files to download at a pinned version, or a file that ships with vprobe.

    Args:
        name: Plug-in name of the benchmark, with `-`.
        what: One sentence on what it is.
        licence: Under which terms it may be used.
        citation: How to cite it.
        version: Upstream commit; empty for shipped data.
        url: Where the files lie, without a slash at the end; empty for shipped data.
        files: The files to download; empty for shipped data.
        shipped: The file that ships with vprobe; None for data to download.
    """

    name: str
    what: str
    licence: str
    citation: str
    version: str = ""
    url: str = ""
    files: tuple[PinnedFile, ...] = ()
    shipped: Path | None = None

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return self.shipped.stat().st_size if self.shipped else sum(one.size for one in self.files)

    @property
    def sha256(self) -> str:
        """One hash for the whole set: of the shipped file, or of the pinned paths and hashes."""
        if self.shipped:
            return hashlib.sha256(self.shipped.read_bytes()).hexdigest()
        return hashlib.sha256("".join(f"{one.path} {one.sha256}\n" for one in self.files).encode()).hexdigest()


VALUE_PORTRAIT_COMMIT = "08e1fb7903c619592bd8b3267f00191e36957f9e"
VALUE_PORTRAIT_URL = f"https://raw.githubusercontent.com/holi-lab/ValuePortrait/{VALUE_PORTRAIT_COMMIT}"
VALUE_PORTRAIT_FILES = (
    PinnedFile("LICENSE", 1067, "b57ec9d7a7637fc4109c5aa0450886ff02456c0b944fdc4cf180058fa2800acd"),
    PinnedFile(
        "data/correlation_results/bfi_correlation_results.json",
        527692,
        "749d0f20dc567b15e3381fbd3480bff3a25c41dfe7dd2fb2bcfdcd70bfbbeef4",
    ),
    PinnedFile(
        "data/correlation_results/higher_pvq_correlation_results.json",
        444782,
        "8cf283933e2f6026496ca52f4a83b750bd32bf81ec8d93558523f3982093a243",
    ),
    PinnedFile(
        "data/correlation_results/pvq_correlation_results.json",
        1043696,
        "fc7dbd4d05593a494855563cc3183a6c2639d17e57885f64b5f7cf9eb10c10c0",
    ),
    PinnedFile(
        "data/prolific/survey/main/survey.json",
        1472418,
        "7ba9e06ed8f479c7be1df331e9f05d7b6167df664ead7fef4364b5b95d845540",
    ),
    PinnedFile(
        "data/prolific/value/main/value.json",
        456259,
        "fea8b8fd8513d2e003d4e689ccc22fc6ebaa7876964b5f0e8b192702f5ff0000",
    ),
    PinnedFile(
        "data/query/query_categorized.json", 72401, "0eaab3d122eaba328d351b41217ce9e863ab57f65db4000d874f1b6f399e72ff"
    ),
    PinnedFile(
        "data/query-response-tagged/query-response-tagged.json",
        1119352,
        "3019b02c56386772f49fcb88280edb36ff96812b3c02b67ee08c5a6f20101648",
    ),
    PinnedFile(
        "lm_evaluation/data/Phase1_total.json",
        333403,
        "d03785e34dea999012d77e0d2ec4aaded7fe36d5ebed32f2c19001d54ede0416",
    ),
    PinnedFile(
        "lm_evaluation/prompts/v1/reddit_prompt.txt",
        538,
        "9f20fbfe3f557a165d1b2fac88451a92f4b1f14751b0d198ec3dac0d28a5a162",
    ),
    PinnedFile(
        "lm_evaluation/prompts/v1/sharegpt_prompt.txt",
        520,
        "7b72d2fa757bc3d5c139cdc4022b026999ba89ab794b3b893f6eb7936d99d1bc",
    ),
    PinnedFile(
        "lm_evaluation/prompts/v1_reversed/reddit_prompt.txt",
        538,
        "92cecaae81fd5ff7348bf08554ce471dfa451854678bbeeb1bc2654b19b46519",
    ),
    PinnedFile(
        "lm_evaluation/prompts/v1_reversed/sharegpt_prompt.txt",
        520,
        "1992422aad885b19125df40358764cefc36d1deab840ed16e4cc90f96ef01096",
    ),
    PinnedFile(
        "lm_evaluation/prompts/v2/reddit_prompt.txt",
        419,
        "ab9a426d480c031776e4101129fb975fabeeb98ae8afd05f0614a5dcb7d8cc74",
    ),
    PinnedFile(
        "lm_evaluation/prompts/v2/sharegpt_prompt.txt",
        390,
        "021f576b427b5fc354ebafc786b9afb04645caa7b4c800145a972b7555d24354",
    ),
    PinnedFile(
        "lm_evaluation/prompts/v2_reversed/reddit_prompt.txt",
        419,
        "a9f4bc317d822e7c6fb8ab29eb3237e4859470f14eb9a9b9793768c7595d732a",
    ),
    PinnedFile(
        "lm_evaluation/prompts/v2_reversed/sharegpt_prompt.txt",
        401,
        "85db4766327be4b0ed8b909c5ca40f4f6129f7dfb0f669b6222a1a05106c752e",
    ),
    PinnedFile(
        "lm_evaluation/prompts/v3/reddit_prompt.txt",
        397,
        "13bfae2d9f8672a1ffdeea935f6c4dccc9815dd7d75a97ccf312cc0b0e55dede",
    ),
    PinnedFile(
        "lm_evaluation/prompts/v3/sharegpt_prompt.txt",
        380,
        "227383bb9cfac570de52e5f5a9b77011513d82c8c8af4ce98af7a5e17b32d9e1",
    ),
    PinnedFile(
        "lm_evaluation/prompts/v3_reversed/reddit_prompt.txt",
        397,
        "9c30f4daf0443fe9f4f2abca645630aa793b3546b2fec379ec7e60e064597550",
    ),
    PinnedFile(
        "lm_evaluation/prompts/v3_reversed/sharegpt_prompt.txt",
        380,
        "1bfa857653587bb58f9f2a095befc0da6f8d0868625e7ad14db8e48e4eccdb91",
    ),
)
