// A stream of zlib's, gzip form, behind a pointer.
//
// zlib.h itself stays out of this header: its module would claim system types such as pthread's that Swift then asks every user to
// import it for, and deflateInit2 and inflateInit2 are macros that Swift cannot call.
#ifndef STEWARD_CZLIB_H
#define STEWARD_CZLIB_H

#include <stddef.h>
#include <stdint.h>

typedef struct steward_zlib steward_zlib;

/// What a call came to.
typedef enum {
    STEWARD_ZLIB_OK = 0,
    /// No progress was possible: more input or more room is needed.
    STEWARD_ZLIB_STALLED,
    /// The stream, or this member of it, has ended.
    STEWARD_ZLIB_END,
    STEWARD_ZLIB_OUT_OF_MEMORY,
    STEWARD_ZLIB_DAMAGED,
} steward_zlib_status;

/// How much of what is held back comes out.
typedef enum {
    STEWARD_ZLIB_GO_ON = 0,
    STEWARD_ZLIB_FLUSH,
    STEWARD_ZLIB_FINISH,
} steward_zlib_mode;

/// A stream that compresses at a level 1..9, or NULL without memory.
steward_zlib *steward_deflate_new(int level);
/// A stream that decompresses, or NULL without memory.
steward_zlib *steward_inflate_new(void);
/// Frees either.
void steward_zlib_free(steward_zlib *stream);

/// Takes in at most *input_size bytes and gives at most *output_size; both are set to what was used.
steward_zlib_status steward_deflate(
    steward_zlib *stream, const uint8_t *input, size_t *input_size, uint8_t *output, size_t *output_size, steward_zlib_mode mode);
/// The same for decompression.
steward_zlib_status steward_inflate(
    steward_zlib *stream, const uint8_t *input, size_t *input_size, uint8_t *output, size_t *output_size);
/// Begins the next member of a stream that has ended.
void steward_inflate_next_member(steward_zlib *stream);
/// zlib's words for what is damaged, or NULL; valid until the next call.
const char *steward_zlib_message(const steward_zlib *stream);

#endif
