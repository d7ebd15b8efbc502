"""Takes SQL text apart into its statements."""

import re
from dataclasses import dataclass

TOKEN = re.compile(
    r"""
      (?P<comment> --[^\n]* )
    | (?P<block> /\* )
    | (?P<string> [eE]'(?:\\.|''|[^'\\])*' | '(?:''|[^'])*' | "(?:""|[^"])*" | \$(?P<tag>(?:[A-Za-z_]\w*)?)\$.*?\$(?P=tag)\$ )
    | (?P<word> [^\W\d][\w$]* )
    | (?P<end> ; )
    | (?P<space> \s+ )
    | (?P<other> . )
    """,
    re.X | re.S,
)
BLOCK = re.compile(r"/\*|\*/")


@dataclass
class Statement:
    """One statement: where it begins and ends in its text, the semicolon included, and its first words in lower case."""

    start: int
    end: int
    text: str
    words: list

    def begins(self, *words):
        """Whether these are its first words."""
        return tuple(self.words[: len(words)]) == words


def statements(text):
    """All statements of a text. What a quote, a comment or a body in `begin atomic` holds is no end of one."""
    found, start, words, depth, position = [], None, [], 0, 0
    while position < len(text):
        token = TOKEN.match(text, position)
        kind = token.lastgroup if token.lastgroup != "tag" else "string"
        end = _end_of_block(text, position) if kind == "block" else token.end()
        if kind not in ("comment", "block", "space") and start is None:
            start = position
        if kind == "word":
            word = token[0].lower()
            words.append(word)
            # The body of a function that is SQL itself, in which each `case` has an `end` of its own.
            if words[-2:] == ["begin", "atomic"] or depth and word == "case":
                depth += 1
            elif depth and word == "end":
                depth -= 1
        elif kind == "other" and token[0] in "'\"":
            raise ValueError(f"a quote is not closed: {text[position : position + 60]!r}")
        elif kind == "end" and not depth:
            found.append(Statement(start, end, text[start:end], words))
            start, words = None, []
        position = end
    if start is not None:
        raise ValueError(f"a statement does not end: {text[start : start + 60]!r}")
    return found


def _end_of_block(text, position):
    depth = 0
    for mark in BLOCK.finditer(text, position):
        depth += 1 if mark[0] == "/*" else -1
        if not depth:
            return mark.end()
    raise ValueError(f"a comment is not closed: {text[position : position + 60]!r}")
