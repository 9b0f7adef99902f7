"""What may be said: a claim stands, or is refused with the reason. Each rests on a null, at one family-wise level.

A refusal is a result: it names what would have to be otherwise.
"""

from vprobe.claims._level import Level
from vprobe.claims.acting import agrees, causal
from vprobe.claims.reading import beyond_text, decodable, held_out
from vprobe.claims.structure import circle, dimensions, unique

__all__ = ["Level", "agrees", "beyond_text", "causal", "circle", "decodable", "dimensions", "held_out", "unique"]
