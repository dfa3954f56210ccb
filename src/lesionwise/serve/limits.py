"""What one request may cost: bytes, images, pixels, seconds.

Here: the numbers and their reasons. Not here: who enforces them (`connection`, `uploads`, `decoding`,
`batching`).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """All bounds of the service.

    Attributes:
        image_bytes: Bytes of one file; a 24-megapixel JPEG of best quality passes.
        request_bytes: Bytes of a whole request.
        images: Number of images in one request.
        pixels: Number of pixels of one image; with two decoders at work the largest PNGs still fit into
            memory.
        side_px: Pixels of the longer side.
        waiting: Images that may be in the service at once; more get 503.
        held_bytes: Bytes that have arrived of all requests being read or answered; for more, the slowest are
            turned away.
        connections: Number of connections that may be open at once; more get 503.
        head_bytes: Bytes of a request's address and headers.
        head_s: Seconds for those to arrive.
        receive_s: Seconds for a request's body to arrive.
        send_s: Seconds that an answer waits for a client which does not fetch it.
        decode_s: Seconds of processor time, for one image to be decoded.
        decoder_s: Seconds that a decoder may take for one image on a busy machine, before another one is
            tried.
        batch: Images that go through the network together. Under load each core computes its own batch, and
            every further image costs memory on each core.
        batch_wait_s: Seconds that a started batch waits for images which are still being decoded.
    """

    image_bytes: int = 20 << 20
    request_bytes: int = 64 << 20
    images: int = 32
    pixels: int = 25_000_000
    side_px: int = 12_000
    waiting: int = 128
    held_bytes: int = 160 << 20
    connections: int = 256
    head_bytes: int = 64 << 10
    head_s: float = 10.0
    receive_s: float = 30.0
    send_s: float = 30.0
    decode_s: float = 5.0
    decoder_s: float = 30.0
    batch: int = 2
    batch_wait_s: float = 0.003
