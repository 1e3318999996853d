#include "CZlib.h"

#include <stdlib.h>
#include <zlib.h>

struct steward_zlib {
    z_stream stream;
    int is_deflate;
};

enum { gzip_window_bits = 15 + 16, memory_level = 8 };

static steward_zlib *begin(int is_deflate, int level) {
    steward_zlib *stream = calloc(1, sizeof *stream);
    if (!stream) return NULL;
    stream->is_deflate = is_deflate;
    int status = is_deflate
        ? deflateInit2(&stream->stream, level, Z_DEFLATED, gzip_window_bits, memory_level, Z_DEFAULT_STRATEGY)
        : inflateInit2(&stream->stream, gzip_window_bits);
    if (status == Z_OK) return stream;
    free(stream);
    return NULL;
}

steward_zlib *steward_deflate_new(int level) { return begin(1, level); }

steward_zlib *steward_inflate_new(void) { return begin(0, 0); }

void steward_zlib_free(steward_zlib *stream) {
    if (stream->is_deflate) deflateEnd(&stream->stream);
    else inflateEnd(&stream->stream);
    free(stream);
}

static steward_zlib_status run(
    steward_zlib *stream, const uint8_t *input, size_t *input_size, uint8_t *output, size_t *output_size, int mode) {
    z_stream *z = &stream->stream;
    z->next_in = (Bytef *)input;
    z->avail_in = (uInt)*input_size;
    z->next_out = output;
    z->avail_out = (uInt)*output_size;
    int status = stream->is_deflate ? deflate(z, mode) : inflate(z, mode);
    *input_size -= z->avail_in;
    *output_size -= z->avail_out;
    z->next_in = NULL;
    switch (status) {
    case Z_OK: return STEWARD_ZLIB_OK;
    case Z_BUF_ERROR: return STEWARD_ZLIB_STALLED;
    case Z_STREAM_END: return STEWARD_ZLIB_END;
    case Z_MEM_ERROR: return STEWARD_ZLIB_OUT_OF_MEMORY;
    default: return STEWARD_ZLIB_DAMAGED;
    }
}

steward_zlib_status steward_deflate(
    steward_zlib *stream, const uint8_t *input, size_t *input_size, uint8_t *output, size_t *output_size, steward_zlib_mode mode) {
    static const int modes[] = {Z_NO_FLUSH, Z_SYNC_FLUSH, Z_FINISH};
    return run(stream, input, input_size, output, output_size, modes[mode]);
}

steward_zlib_status steward_inflate(
    steward_zlib *stream, const uint8_t *input, size_t *input_size, uint8_t *output, size_t *output_size) {
    return run(stream, input, input_size, output, output_size, Z_NO_FLUSH);
}

void steward_inflate_next_member(steward_zlib *stream) { inflateReset(&stream->stream); }

const char *steward_zlib_message(const steward_zlib *stream) { return stream->stream.msg; }
