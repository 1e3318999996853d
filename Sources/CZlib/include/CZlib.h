// zlib's entry points that Swift cannot call: deflateInit2 and inflateInit2 are macros that pass zlib's version and the size of the
// stream along. Everything else is used as zlib declares it.
#ifndef STEWARD_CZLIB_H
#define STEWARD_CZLIB_H

#include <string.h>
#include <zlib.h>

/// Begins a gzip stream (window 2^15, gzip header) at a level 1..9.
static inline int steward_gzip_begin(z_stream *stream, int level) {
    memset(stream, 0, sizeof *stream);
    return deflateInit2(stream, level, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
}

/// Begins reading a gzip stream.
static inline int steward_gunzip_begin(z_stream *stream) {
    memset(stream, 0, sizeof *stream);
    return inflateInit2(stream, 15 + 16);
}

#endif
