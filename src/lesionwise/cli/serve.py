"""`lesionwise serve`."""

from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Annotated

from lesionwise.cli.console import is_quiet, print_note, print_result, print_warning
from lesionwise.cli.gallery import OptionalGallery
from lesionwise.cli.options import ModelFile, PrecisionOption, option, verify_folder


def serve(
    model: ModelFile = None,
    model_sha256: Annotated[
        str | None,
        option(
            "--model-sha256", "SHA-256 that the model must have; another one is not served.", metavar="HEX"
        ),
    ] = None,
    host: Annotated[
        str, option("--host", "Address to listen at; the default answers this machine only.")
    ] = "127.0.0.1",
    port: Annotated[
        int, option("--port", "Port to listen at; 0 takes any that is free.", min=0, max=65535)
    ] = 8000,
    examples: Annotated[
        Path | None,
        option(
            "--examples",
            "Folder of images that the page offers as examples; three drawn ones by default.",
            metavar="DIR",
            callback=verify_folder,
        ),
    ] = None,
    gallery: OptionalGallery = None,
    token: Annotated[
        str | None,
        option(
            "--token",
            "Secret that requests must contain. Others on this machine can see it on the command line, so "
            "set the variable instead.",
            envvar="LESIONWISE_TOKEN",
        ),
    ] = None,
    threads: Annotated[
        int | None, option("--threads", "Number of cores for the network; all by default.", min=1)
    ] = None,
    precision: PrecisionOption = None,
    drain: Annotated[
        float,
        option(
            "--drain",
            "Seconds for which requests are still accepted after SIGTERM, while /ready answers 503.",
            min=0,
            metavar="SECONDS",
        ),
    ] = 5.0,
    share: Annotated[
        bool,
        option(
            "--share",
            "Open the service to the internet through ngrok; needs a token. Read docs/serve.md first.",
        ),
    ] = False,
    share_gallery: Annotated[
        bool,
        option(
            "--share-gallery",
            "With --share: let everybody who has the address and the token see what the gallery shows.",
        ),
    ] = False,
) -> None:
    """Open a page and an API that classify images, on this machine and offline."""
    from lesionwise.bundle.engine import Engine, load_model
    from lesionwise.bundle.load import verify_pinned
    from lesionwise.gallery.gallery import load_gallery
    from lesionwise.serve.app import create_app
    from lesionwise.serve.examples import drawn_examples, read_examples
    from lesionwise.serve.limits import Limits
    from lesionwise.serve.server import address_of, exposure_warning, open_socket, share_memory_pools
    from lesionwise.serve.server import serve as answer
    from lesionwise.serve.service import Service, streams_for
    from lesionwise.serve.share import WARNING, shared, verify_shareable

    share_memory_pools()
    if share:
        verify_shareable(token, gallery=gallery, allowed=share_gallery)
        print_warning(f"Warning: {WARNING}")
    listening = open_socket(host, port)
    limits = Limits()
    engine = load_model(model, threads=threads, streams=streams_for(threads), precision=precision)
    if model_sha256:
        verify_pinned(engine.bundle, model_sha256)
    alone = Engine(engine.bundle, threads=threads, precision=precision) if engine.streams > 1 else None
    opened = load_gallery(gallery, engine) if gallery else None
    service = Service(engine, alone=alone, gallery=opened, limits=limits)
    app = create_app(
        service,
        examples=read_examples(examples, limits) if examples else drawn_examples(),
        token=token or None,
    )
    warning = exposure_warning(listening, token=bool(token))
    if warning:
        print_warning(f"Warning: {warning}")
    if opened:
        print_note(f"Gallery: {opened.describe()}.", *opened.advice)

    address, model_brief = address_of(listening), service.model_brief()
    public = shared(address) if share else nullcontext(None)

    def on_start() -> None:
        places = f"{address}, shared as {elsewhere}," if elsewhere else address
        print_result(
            f"{places} answers with {model_brief['name']} in {engine.computed_in}; Ctrl-C stops it.",
            {
                "address": address,
                "shared": elsewhere,
                "model": model_brief,
                "precision": engine.precision,
                "margin": engine.margin,
            },
        )

    with suppress(KeyboardInterrupt), public as elsewhere:  # it is raised again once the last answer is out
        answer(app, service, listening, on_start, drain_s=drain, quiet=is_quiet())
    print_note("Stopped.")
