#!/bin/sh
# pynetdicom: a server that accepts StoragePresentationContexts does not accept dermatoscopic photographs.
#
# guess     StoragePresentationContexts holds every kind of stored image, as its name says.
# versions  pynetdicom 3.0.4, pydicom 3.0.2, Python 3.11
# behaviour It holds 120 of 170 kinds (AllStoragePresentationContexts has the rest; one association can propose at most 128). Photographs (VL Photographic
#           Image) and whole slides are in it; Dermoscopic Photography, Confocal Microscopy and bulk annotations are not. A server
#           with this list accepts the association and refuses that kind, so a client that offers both sends the photograph alone.
# exit      0 as described; 1 if dermatoscopic photographs are accepted
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check pynetdicom==3.0.4 pydicom==3.0.2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

from pydicom.uid import UID
from pynetdicom import AE, AllStoragePresentationContexts, StoragePresentationContexts

PHOTOGRAPH = UID("1.2.840.10008.5.1.4.1.1.77.1.4")
DERMOSCOPIC = UID("1.2.840.10008.5.1.4.1.1.77.1.7")


def accepted(contexts: list) -> list[str]:
    """Return the kinds of image that a server with these contexts accepts."""
    server = AE()
    server.supported_contexts = contexts
    listening = server.start_server(("127.0.0.1", 0), block=False)
    try:
        client = AE()
        client.add_requested_context(PHOTOGRAPH)
        client.add_requested_context(DERMOSCOPIC)
        association = client.associate(*listening.server_address)
        names = [one.abstract_syntax.name for one in association.accepted_contexts]
        association.release()
        return names
    finally:
        listening.shutdown()


print(f"{len(StoragePresentationContexts)} kinds, of {len(AllStoragePresentationContexts)}")
some, every = accepted(StoragePresentationContexts), accepted(AllStoragePresentationContexts)
print("StoragePresentationContexts accepts:", some)
print("AllStoragePresentationContexts accepts:", every)
sys.exit(0 if some == [PHOTOGRAPH.name] and every == [PHOTOGRAPH.name, DERMOSCOPIC.name] else 1)
PYTHON
