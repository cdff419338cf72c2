"""Makes text of the bytes of a page, as browsers do: by the encoding that it has, whatever is said of it."""

import codecs
import re

from charset_normalizer import from_bytes
from w3lib.encoding import html_body_declared_encoding, read_bom, resolve_encoding

_GUESSED_BYTES = 32 * 1024  # of a page that does not say in which encoding it is
_SNIFFED_BYTES = 1445  # MIME Sniffing standard, section 4
_CHARSET = re.compile(r"charset\s*[=:]\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
_BINARY = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
_DOCUMENTS = (b"%PDF-", b"%!PS-Adobe-")
_NO_TYPES = frozenset(
    {"application/octet-stream", "binary/octet-stream", "application/unknown", "unknown/unknown", "*/*"}
)

# Labels of the Encoding standard that Python does not know. `resolve_encoding` asks it for names.
_LABELS = {
    "ansi": "cp1252",
    "cn_big5": "big5hkscs",
    "cseucpkdfmtjapanese": "euc_jp",
    "dos_874": "cp874",
    "koi": "koi8_r",
    "koi8": "koi8_r",
    "koi8_ru": "koi8_u",
    "mac": "mac_roman",
    "sun_eu_greek": "iso8859_7",
    "win1251": "cp1251",
    "x_euc_jp": "euc_jp",
    "x_mac_cyrillic": "mac_cyrillic",
    "x_mac_roman": "mac_roman",
    "csmacintosh": "mac_roman",
    "x_mac_ukrainian": "mac_cyrillic",
    "x_user_defined": "cp1252",
    "x_x_big5": "big5hkscs",
    "csisolatin9": "iso8859_15",
    "iso88591": "cp1252",
    "iso88599": "cp1254",
    "iso885911": "cp874",
    **{f"iso8859{number}": f"iso8859_{number}" for number in (*range(2, 9), 10, 13, 14, 15, 16)},
    **{f"x_cp125{number}": f"cp125{number}" for number in range(9)},
    **dict.fromkeys(("csiso88596e", "csiso88596i", "iso_8859_6_e", "iso_8859_6_i"), "iso8859_6"),
    **dict.fromkeys(("csiso88598e", "csiso88598i", "iso_8859_8_e", "iso_8859_8_i", "visual", "logical"), "iso8859_8"),
    **dict.fromkeys(("csgb2312", "gb_2312", "x_gbk"), "gb18030"),
    **dict.fromkeys(
        ("cseuckr", "csksc56011987", "iso_ir_149", "ks_c_5601_1989", "ksc_5601", "windows_949", "korean"), "cp949"
    ),
    **dict.fromkeys(("unicode_1_1_utf_8", "unicode11utf8", "unicode20utf8", "x_unicode20utf8"), "utf_8"),
    **dict.fromkeys(("csunicode", "iso_10646_ucs_2", "ucs_2", "unicode", "unicodefeff"), "utf_16_le"),
    "unicodefffe": "utf_16_be",
}
# Python has other codecs, too; some take a time that grows with the square of the page.
_ENCODINGS = frozenset(
    codecs.lookup(name).name
    for name in (
        *("utf-8", "utf-16", "utf-16-le", "utf-16-be", "ascii", "koi8-r", "koi8-u", "mac-roman", "mac-cyrillic"),
        *(f"iso8859-{number}" for number in (*range(1, 11), *range(13, 17))),
        *(f"cp{number}" for number in (437, 850, 852, 855, 866, 874, *range(1250, 1259))),
        *(
            "gb18030",
            "gbk",
            "gb2312",
            "big5",
            "big5hkscs",
            "cp932",
            "cp949",
            "shift_jis",
            "euc_jp",
            "euc_kr",
            "iso2022_jp",
        ),
    )
)
codecs.register(lambda label: codecs.lookup(_LABELS[label]) if label in _LABELS else None)


def decode_page(body: bytes, content_type: str | None) -> str:
    """Decodes the text of a page (WHATWG Encoding and HTML standards, as far as they suffice).

    The encoding is that of the byte order mark; or the first in which the page can be decoded of UTF-8, the header's,
    the page's own, and the likeliest. UTF-8 comes first since many servers say Latin-1, in which all bytes decode.
    """
    encoding, mark = read_bom(body)
    if encoding and mark:
        return body[len(mark) :].decode(encoding, "replace")
    # ISO-2022-JP hides its letters in ASCII, and UTF-16 writes ASCII with zeros.
    if b"\x1b" not in body and b"\0" not in body and (text := _decode_strictly(body, "utf-8")) is not None:
        return text
    names = (_header_encoding(content_type), html_body_declared_encoding(body))
    declared = [name for name in names if name in _ENCODINGS]
    for name in declared:
        if (text := _decode_strictly(body, name)) is not None:
            return text
    return _guess(body, declared[0] if declared else None)


def _header_encoding(content_type: str | None) -> str | None:
    label = _CHARSET.search(content_type or "")
    return resolve_encoding(label[1]) if label else None


def _decode_strictly(body: bytes, encoding: str) -> str | None:
    try:
        return body.decode(encoding)
    except UnicodeDecodeError:
        return None


def _guess(body: bytes, declared: str | None) -> str:
    """The text of a page that is broken in every encoding it declares, or declares none."""
    best = None if declared else from_bytes(body[:_GUESSED_BYTES]).best()
    name = declared or resolve_encoding(best.encoding if best else "utf-8")
    return body.decode(name if name in _ENCODINGS else "utf-8", "replace")


def media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def says_nothing(content_type: str) -> bool:
    """Whether a `Content-Type` does not tell what the body is: then its bytes do."""
    kind = media_type(content_type)
    return kind in _NO_TYPES or "/" not in kind


def is_text(body: bytes) -> bool:
    """Whether a body whose type is not told is a text (MIME Sniffing standard, section 7.2)."""
    start = body[:_SNIFFED_BYTES]
    return read_bom(start)[0] is not None or not (_BINARY.search(start) or start.startswith(_DOCUMENTS))
