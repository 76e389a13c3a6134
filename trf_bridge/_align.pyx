# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: infer_types=True
"""Kernels of the alignment, on typed memoryviews.

A wordpiece is linked to a range of neighbouring tokens, so the first and the last token of each
wordpiece determine the alignment: its rows, counts and weights. Callers allocate every output.
"""
from cpython.unicode cimport PyUnicode_READ_CHAR
from libc.stdlib cimport free, malloc


cdef extern from "Python.h":
    bint Py_UNICODE_ISSPACE(Py_UCS4 char) nogil


ctypedef fused floating:
    float
    double

# The number of links of a token that are summed up at once.
cdef enum:
    BLOCK = 64


def trim_spans(list texts, const int[::1] n_pieces, const int[:, ::1] spans, int[:, ::1] out):
    """Trim white space from both ends of each span, unless it consists of white space.

    Spans are clipped to their text first, since reading beyond it is not safe.

    texts (list of str, (n_docs,)): The texts of the spans.
    n_pieces ((n_docs,)): Number of spans of each text.
    spans ((n_wp, 2)): Character start and end.
    out ((n_wp, 2)): Receives the trimmed spans.
    """
    cdef Py_ssize_t i, piece = 0, stop
    cdef int first, start, end, n_chars
    cdef str text
    for i in range(len(texts)):
        text = texts[i]
        n_chars = <int>len(text)
        stop = piece + n_pieces[i]
        while piece < stop:
            start = first = min(max(spans[piece, 0], 0), n_chars)
            end = min(max(spans[piece, 1], start), n_chars)
            while start < end and Py_UNICODE_ISSPACE(PyUnicode_READ_CHAR(text, start)):
                start += 1
            if start == end:  # white space, or empty: not trimmed
                start = first
            else:
                while Py_UNICODE_ISSPACE(PyUnicode_READ_CHAR(text, end - 1)):
                    end -= 1
            out[piece, 0] = start
            out[piece, 1] = end
            piece += 1


def overlap(
    const int[:, ::1] tokens,
    const int[:, ::1] bounds,
    const int[:, ::1] texts,
    const int[:, ::1] spans,
    const int[:, ::1] pieces,
    const int[::1] lengths,
    int[:, ::1] covered,
    int[:, ::1] ranges,
):
    """Find the tokens that share a character with each wordpiece, or else the nearest token.

    A cursor over the tokens follows the wordpieces. Tokens are sorted and disjoint, and wordpieces
    are nearly always sorted too, so the cursor moves forward and the time is linear. It can also
    move back, so results are right for normalizers that reorder characters.

    tokens ((n_tokens, 2)): Character start and end, sorted within each Doc.
    bounds ((n_inputs, 2)): First and last token (exclusive) of each input's Doc.
    texts ((n_inputs, 2)): Characters of the text of each input, which limit the tokens of its
        wordpieces: for a sentence the same as spans, for a window those of the whole sentence.
    spans ((n_inputs, 2)): Characters that each input covers.
    pieces ((n_wp, 2)): Trimmed character start and end of each wordpiece.
    lengths ((n_inputs,)): Number of wordpieces of each input.
    covered ((n_inputs, 2)): Receives the first and last token (exclusive) of each input, or the
        nearest token of its text if it covers none.
    ranges ((n_wp, 2)): Receives the first and last token (exclusive) of each wordpiece.
    """
    cdef Py_ssize_t i, piece = 0, stop
    cdef int low, high, at, first, last, start, end
    with nogil:
        at = 0
        for i in range(lengths.shape[0]):
            low = _bisect(tokens, 1, bounds[i, 0], bounds[i, 1], texts[i, 0] + 1)
            high = _bisect(tokens, 0, low, bounds[i, 1], texts[i, 1])
            first = _bisect(tokens, 1, low, high, spans[i, 0] + 1)
            last = _bisect(tokens, 0, first, high, spans[i, 1])
            if first == last:  # a window of white space
                first = last = _nearest(tokens, first, low, high, spans[i, 0], spans[i, 1])
                last += high > low
            covered[i, 0] = first
            covered[i, 1] = last
            stop = piece + lengths[i]
            while piece < stop:
                start = pieces[piece, 0]
                end = pieces[piece, 1]
                at = _seek(tokens, at, low, high, start)
                last = at
                while last < high and tokens[last, 0] < end:
                    last += 1
                # An empty span can lie inside a token, but shares no character with it.
                if last == at or start == end:
                    at = last = _nearest(tokens, at, low, high, start, end)
                    last += high > low
                ranges[piece, 0] = at
                ranges[piece, 1] = last
                piece += 1


cdef int _bisect(
    const int[:, ::1] tokens, int edge, int low, int high, int char
) noexcept nogil:
    """Return the first token in [low, high) whose start (edge 0) or end (edge 1) is >= char."""
    cdef int middle
    while low < high:
        middle = (low + high) // 2
        if tokens[middle, edge] < char:
            low = middle + 1
        else:
            high = middle
    return low


cdef int _seek(const int[:, ::1] tokens, int at, int low, int high, int char) noexcept nogil:
    """Return the first token in [low, high) that ends after the character, searching from `at`."""
    at = min(max(at, low), high)
    while at > low and tokens[at - 1, 1] > char:
        at -= 1
    while at < high and tokens[at, 1] <= char:
        at += 1
    return at


cdef int _nearest(
    const int[:, ::1] tokens, int at, int low, int high, int start, int end
) noexcept nogil:
    """Return the token nearest to the span, in characters; the following token on a tie."""
    if at == high:
        return max(at - 1, low)
    if at > low and start - tokens[at - 1, 1] < tokens[at, 0] - end:
        return at - 1
    return at


def count_links(const int[:, ::1] ranges, int[::1] lengths) -> int:
    """Count the wordpieces linked to each token.

    ranges ((n_wp, 2)): First and last token (exclusive) of each wordpiece.
    lengths ((n_tokens,)): Receives the counts; zero on entry.
    RETURNS (int): The number of links.
    """
    cdef Py_ssize_t piece
    cdef int token
    cdef Py_ssize_t total = 0
    with nogil:
        for piece in range(ranges.shape[0]):
            total += ranges[piece, 1] - ranges[piece, 0]
            for token in range(ranges[piece, 0], ranges[piece, 1]):
                lengths[token] += 1
    return total


def fill_links(
    const int[:, ::1] ranges,
    const int[::1] first_row,
    int[::1] cursors,
    int[::1] rows,
    int[::1] shares,
):
    """Write the wordpieces of each token, ascending, and the number of tokens linked to each.

    ranges ((n_wp, 2)): First and last token (exclusive) of each wordpiece.
    first_row ((n_wp,)): The first wordpiece of the Doc of each wordpiece.
    cursors ((n_tokens,)): The start of each token's links; moved to their end.
    rows ((n_links,)): Receives the rows of the wordpieces in their Doc.
    shares ((n_links,)): Receives the number of tokens linked to the wordpiece.
    """
    cdef Py_ssize_t piece
    cdef int token, share, at
    with nogil:
        for piece in range(ranges.shape[0]):
            share = ranges[piece, 1] - ranges[piece, 0]
            for token in range(ranges[piece, 0], ranges[piece, 1]):
                at = cursors[token]
                rows[at] = <int>(piece - first_row[piece])
                shares[at] = share
                cursors[token] = at + 1


def gather_sum(
    const floating[:, ::1] inputs,
    const int[::1] rows,
    const floating[::1] weights,
    const int[::1] lengths,
    floating[:, ::1] out,
):
    """Compute the weighted sum of the rows of each token: out[i] = Σ weights[k] * inputs[rows[k]].

    inputs ((n_wp, width)): The rows of the wordpieces.
    rows, weights ((n_links,)): Linked rows and their weights, token after token.
    lengths ((n_tokens,)): Number of links of each token.
    out ((n_tokens, width)): Receives the sums.
    """
    cdef Py_ssize_t token, column, link = 0, stop, block, width = inputs.shape[1]
    cdef const floating* source
    cdef floating* target
    cdef floating* total
    cdef floating* partial
    cdef floating weight
    if width == 0:
        return
    partial = <floating*> malloc(width * sizeof(floating))
    if partial == NULL:
        raise MemoryError()
    with nogil:
        for token in range(lengths.shape[0]):
            total = &out[token, 0]
            for column in range(width):
                total[column] = 0
            stop = link + lengths[token]
            # Sums of blocks are added up: rounding errors of one long sum would grow with it.
            target = total if lengths[token] <= BLOCK else partial
            while link < stop:
                block = min(link + BLOCK, stop)
                if target == partial:
                    for column in range(width):
                        partial[column] = 0
                while link < block:
                    source = &inputs[rows[link], 0]
                    weight = weights[link]
                    for column in range(width):
                        target[column] += weight * source[column]
                    link += 1
                if target == partial:
                    for column in range(width):
                        total[column] += partial[column]
    free(partial)


def scatter_add(
    const floating[:, ::1] d_out,
    const int[::1] rows,
    const floating[::1] weights,
    const int[::1] lengths,
    floating[:, ::1] d_inputs,
):
    """Compute the exact transpose of `gather_sum`: d_inputs[rows[k]] += weights[k] * d_out[i].

    d_out ((n_tokens, width)): Gradient of the sums.
    rows, weights ((n_links,)): Linked rows and their weights, token after token.
    lengths ((n_tokens,)): Number of links of each token.
    d_inputs ((n_wp, width)): Receives the gradient of the rows; zero on entry.
    """
    cdef Py_ssize_t token, column, link = 0, stop, width = d_out.shape[1]
    cdef const floating* source
    cdef floating* target
    cdef floating weight
    if width == 0:
        return
    with nogil:
        for token in range(lengths.shape[0]):
            source = &d_out[token, 0]
            stop = link + lengths[token]
            while link < stop:
                target = &d_inputs[rows[link], 0]
                weight = weights[link]
                for column in range(width):
                    target[column] += weight * source[column]
                link += 1
