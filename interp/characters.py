"""Text that any page and any drawing can hold.

A token can be any bytes, but XML allows no control characters except tab and line ends, no
surrogates, and neither U+FFFE nor U+FFFF; with one of them in it, no viewer opens the drawing. They
are replaced by the pictures that Unicode has for them, or by the replacement character.

Source: XML 1.0, section 2.2, production 2 (Char); Unicode, block Control Pictures.
"""

import html

_PICTURES = {code: 0x2400 + code for code in range(0x20) if chr(code) not in "\t\n\r"}
_REPLACED = (*range(0x80, 0xA0), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF)
_TABLE = {**dict.fromkeys(_REPLACED, 0xFFFD), **_PICTURES, 0x7F: 0x2421}


def printable(text: str) -> str:
    r"""Replace the characters that no XML document can hold, and other control characters.

    Args:
        text: any text; tabs and line ends are kept

    Returns:
        Text of the same length.

    Example:
        >>> printable("a\x00b")
        'a␀b'
    """
    return text.translate(_TABLE)


def escape(text: str, quote: bool = True) -> str:
    r"""Escape text so that XML and HTML read it as text.

    Args:
        text: any text
        quote: whether to replace quotation marks too, as attributes require

    Returns:
        Text without markup, in `printable` characters only.

    Example:
        >>> escape("<a>\x07")
        '&lt;a&gt;␇'
    """
    return html.escape(printable(text), quote)
