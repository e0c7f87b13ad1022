"""The ELAN Annotation Format, version 3.0 (https://www.mpi.nl/tools/elan/EAF_Annotation_Format_3.0_and_ELAN.pdf)."""

import mimetypes
import os
import re
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from xml.etree.ElementTree import Element, ElementTree, SubElement, indent

from sentio import __version__
from sentio.affect.labels import EXPRESSIONS
from sentio.affect.results.annotations import Annotations
from sentio.affect.results.episodes import EXPRESSION, FACE, VOICE
from sentio.core.writers import atomic_path

SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
LOCATION = "{http://www.w3.org/2001/XMLSchema-instance}noNamespaceSchemaLocation"
VOCABULARY = "expressions"
UNIT = "action unit"
TYPES = {EXPRESSION: VOCABULARY, VOICE: VOCABULARY, UNIT: None, FACE: None}
"""Types of tiers, and the vocabulary that their labels are from, which ELAN offers when one is corrected by hand."""
LANGUAGE = "und"
UNFIT = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that a name can have, and XML cannot."""


def write_eaf(path: Path, annotations: Annotations) -> None:
    """Write every tier, with the media file linked by its place relative to the folder of ``path``.

    Raises:
        OutputError: the file cannot be written.
    """
    root = Element("ANNOTATION_DOCUMENT", AUTHOR=f"sentio {__version__}", FORMAT="3.0", VERSION="3.0")
    root.set("DATE", datetime.now().astimezone().isoformat(timespec="seconds"))
    root.set(LOCATION, SCHEMA)
    _header(root, annotations)
    _annotations(root, annotations)
    for kind, vocabulary in TYPES.items():
        described = {"LINGUISTIC_TYPE_ID": kind, "TIME_ALIGNABLE": "true", "GRAPHIC_REFERENCES": "false"}
        if vocabulary:
            described["CONTROLLED_VOCABULARY_REF"] = vocabulary
        SubElement(root, "LINGUISTIC_TYPE", described)
    _vocabulary(root, EXPRESSIONS)
    indent(root)
    with atomic_path(path) as temporary:
        ElementTree(root).write(temporary, encoding="UTF-8", xml_declaration=True)


def link(media: Path, folder: Path) -> str:
    """Place of a file relative to a folder, so that both can be moved together, as ELAN writes it: not as a URL.

    Folders that are links are followed, for a step up from them leads elsewhere.
    """
    place = Path(os.path.realpath(media.parent), media.name)
    try:
        relative = Path(os.path.relpath(place, os.path.realpath(folder))).as_posix()
    except ValueError:  # on another drive, from which no way leads here
        return f"file:///{place.as_posix().lstrip('/')}"
    return relative if relative.startswith("../") else f"./{relative}"


def mime_type(media: Path) -> str:
    """Kind of a media file by its name, in the words of ELAN."""
    if media.suffix.lower() == ".wav":
        return "audio/x-wav"  # which it shows as a wave
    return mimetypes.guess_type(media.name)[0] or "unknown"


def _header(root: Element, annotations: Annotations) -> None:
    header = SubElement(root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    if annotations.media is not None and annotations.media.is_file():
        place = UNFIT.sub("?", link(annotations.media, annotations.folder))
        links = {"MEDIA_URL": place, "RELATIVE_MEDIA_URL": place}  # the first is required, the second is what is found
        SubElement(header, "MEDIA_DESCRIPTOR", links, MIME_TYPE=mime_type(annotations.media))
    last = sum(len(tier.spans) for tier in annotations.tiers)
    for name, value in (("lastUsedAnnotationId", str(last)), ("sentio", annotations.provenance)):
        SubElement(header, "PROPERTY", NAME=name).text = value


def _annotations(root: Element, annotations: Annotations) -> None:
    """The tiers, and before them all their times, which stand in order."""
    order = SubElement(root, "TIME_ORDER")
    slots: list[tuple[int, bool, Element]] = []  # time, beginning or not, the annotation
    for tier in annotations.tiers:
        kind = tier.kind if tier.kind in TYPES else UNIT
        element = SubElement(root, "TIER", TIER_ID=tier.name, LINGUISTIC_TYPE_REF=kind, ANNOTATOR="sentio")
        if who := annotations.who(tier):
            element.set("PARTICIPANT", UNFIT.sub("?", who))
        for span in tier.spans:
            annotation = SubElement(SubElement(element, "ANNOTATION"), "ALIGNABLE_ANNOTATION")
            SubElement(annotation, "ANNOTATION_VALUE").text = span.label
            slots += [(span.start_ms, True, annotation), (span.end_ms, False, annotation)]
    for number, annotation in enumerate(root.iter("ALIGNABLE_ANNOTATION"), 1):
        annotation.set("ANNOTATION_ID", f"a{number}")
    slots.sort(key=lambda slot: slot[:2])  # where one ends and the next begins, the end comes first
    for number, (ms, begins, annotation) in enumerate(slots, 1):
        SubElement(order, "TIME_SLOT", TIME_SLOT_ID=f"ts{number}", TIME_VALUE=str(ms))
        annotation.set("TIME_SLOT_REF1" if begins else "TIME_SLOT_REF2", f"ts{number}")


def _vocabulary(root: Element, labels: Iterable[str]) -> None:
    where = "http://cdb.iso.org/lg/CDB-00130975-001"  # what ELAN writes for no language in particular
    SubElement(root, "LANGUAGE", LANG_ID=LANGUAGE, LANG_DEF=where, LANG_LABEL="undetermined (und)")
    vocabulary = SubElement(root, "CONTROLLED_VOCABULARY", CV_ID=VOCABULARY)
    SubElement(vocabulary, "DESCRIPTION", LANG_REF=LANGUAGE).text = "What the expression of a face or voice is read as"
    for number, label in enumerate(labels):
        entry = SubElement(vocabulary, "CV_ENTRY_ML", CVE_ID=f"cve{number}")
        SubElement(entry, "CVE_VALUE", LANG_REF=LANGUAGE, DESCRIPTION="").text = label
