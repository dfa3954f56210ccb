"""Limits of one request: bytes, images, pixels, seconds.

Here: the numbers and their reasons. Not here: their enforcement (`connection`, `uploads`, `decoding`,
`batching`).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """All limits of the service.

    Attributes:
        image_bytes: Bytes of one file; a 24-megapixel JPEG of best quality is allowed.
        request_bytes: Bytes of a whole request.
        images: Number of images in one request.
        pixels: Number of pixels of one image; the largest PNGs fit into memory with two busy decoders.
        side_px: Pixels of the longer side.
        waiting: Images that may be in the service at the same time; more get 503.
        held_bytes: Received bytes of all requests that are read or answered; beyond, the slowest requests are
            refused.
        connections: Number of open connections; more get 503.
        head_bytes: Bytes of a request's address and headers.
        head_s: Seconds until these have arrived.
        receive_s: Seconds until a request's body has arrived.
        send_s: Seconds that an answer waits for a client that does not fetch it.
        decode_s: Seconds of processor time for decoding one image.
        decoder_s: Seconds for decoding one image on a busy machine, before another decoder is tried.
        batch: Images that go through the network together. Under load each core computes its own batch, and
            every further image costs memory on each core.
        batch_wait_s: Seconds that a batch waits for images that are still being decoded.
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
