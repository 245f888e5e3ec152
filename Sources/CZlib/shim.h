// Raw deflate, as zip archives hold it: `inflateInit2` is a macro, which Swift does not see.

#pragma once

#include <string.h>
#include <zlib.h>

/// Inflates a whole raw stream into exactly `outputBytes`; returns 0 when the stream is damaged or has another length.
static inline int berth_inflate_raw(const unsigned char *input, size_t inputBytes, unsigned char *output, size_t outputBytes) {
    z_stream stream;
    memset(&stream, 0, sizeof stream);
    if (inputBytes > 0xffffffffu || outputBytes > 0xffffffffu || inflateInit2(&stream, -MAX_WBITS) != Z_OK) return 0;
    stream.next_in = (unsigned char *)input;
    stream.avail_in = (unsigned)inputBytes;
    stream.next_out = output;
    stream.avail_out = (unsigned)outputBytes;
    int result = inflate(&stream, Z_FINISH);
    int whole = result == Z_STREAM_END && stream.total_out == outputBytes;
    inflateEnd(&stream);
    return whole;
}
