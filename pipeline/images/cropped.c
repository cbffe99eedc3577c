/* One rectangle of a JPEG, decoded without the rest: rows above are skipped, columns beside are not transformed, rows
   below are never read. Built where a compiler and libjpeg-turbo's headers are; pipeline/images/cropped.py calls it. */

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

enum { WHOLE = 0, REFUSED = 1, MISFIT = 2, MEMORY = 3 };

struct refusal {
    struct jpeg_error_mgr manager;
    jmp_buf back;
};

static void refuse(j_common_ptr codec)
{
    longjmp(((struct refusal *)codec->err)->back, 1);
}

/* A warning is a refusal too: the caller then decodes the whole file and says what is wrong with it. */
static void heed(j_common_ptr codec, int level)
{
    if (level < 0)
        refuse(codec);
}

/* Decode the rectangle (left, top, width, height), in pixels as they are stored, of `size` bytes at `data`, and hand each
   of its rows, red, green, blue from pixel to pixel, to `take`. `full_width` and `full_height` are the size that the
   caller expects. Returns WHOLE where every pixel was there. */
int mole_rows(const unsigned char *data, unsigned long size, unsigned full_width, unsigned full_height, unsigned left,
              unsigned top, unsigned width, unsigned height, void (*take)(void *, const unsigned char *), void *state)
{
    struct jpeg_decompress_struct codec;
    struct refusal refusal;
    unsigned char *volatile scratch = NULL;
    volatile int outcome = REFUSED;

    memset(&codec, 0, sizeof codec);
    codec.err = jpeg_std_error(&refusal.manager);
    refusal.manager.error_exit = refuse;
    refusal.manager.emit_message = heed;
    if (setjmp(refusal.back)) {
        jpeg_destroy_decompress(&codec);
        free(scratch);
        return outcome;
    }
    jpeg_create_decompress(&codec);
    jpeg_mem_src(&codec, (unsigned char *)data, size);
    jpeg_read_header(&codec, TRUE);
    if (codec.image_width != full_width || codec.image_height != full_height || left + width > full_width ||
        top + height > full_height || !width || !height) {
        outcome = MISFIT;
        refuse((j_common_ptr)&codec);
    }
    codec.out_color_space = JCS_RGB;
    jpeg_start_decompress(&codec);
    /* A progressive file that lacks scans is smoothed, by what lies around each block: the whole has other neighbours. */
    for (int part = 0; codec.progressive_mode && part < codec.num_components; part++)
        for (int order = 0; order < DCTSIZE2; order++)
            if (codec.coef_bits[part][order])
                refuse((j_common_ptr)&codec);

    /* A block more on each side: the interpolation of chroma looks at its neighbours. */
    JDIMENSION block_width = codec.max_h_samp_factor * DCTSIZE, block_height = codec.max_v_samp_factor * DCTSIZE;
    JDIMENSION from = left > block_width ? left - block_width : 0;
    JDIMENSION behind = left + width + block_width < full_width ? left + width + block_width : full_width;
    JDIMENSION wide = behind - from;
    jpeg_crop_scanline(&codec, &from, &wide);
    /* An odd address on purpose: to an aligned row the library's SIMD writes past the cache, and to read it back then
       takes as long as all the rest. */
    scratch = malloc((size_t)codec.output_width * 3 + 1);
    if (!scratch) {
        outcome = MEMORY;
        refuse((j_common_ptr)&codec);
    }
    JDIMENSION first = top / block_height;
    if (first > 1)
        jpeg_skip_scanlines(&codec, (first - 1) * block_height);
    while (codec.output_scanline < top + height) {
        JDIMENSION row = codec.output_scanline;
        JSAMPROW line = scratch + 1;
        jpeg_read_scanlines(&codec, &line, 1);
        if (row < top)
            continue;
        take(state, line + (size_t)(left - from) * 3);
    }
    jpeg_destroy_decompress(&codec);
    free(scratch);
    return WHOLE;
}

struct planes {
    size_t width, plane;
    unsigned char *out;
};

static void keep(void *state, const unsigned char *pixel)
{
    struct planes *planes = state;
    unsigned char *restrict red = planes->out, *restrict green = red + planes->plane;
    unsigned char *restrict blue = green + planes->plane;

    for (size_t column = 0; column < planes->width; column++, pixel += 3) {
        red[column] = pixel[0];
        green[column] = pixel[1];
        blue[column] = pixel[2];
    }
    planes->out += planes->width;
}

/* Decode a rectangle, as `mole_rows` does, into 3 x height x width bytes at `out`, red before green before blue. */
int mole_cropped(const unsigned char *data, unsigned long size, unsigned full_width, unsigned full_height,
                 unsigned left, unsigned top, unsigned width, unsigned height, unsigned char *out)
{
    struct planes planes = {width, (size_t)width * height, out};

    return mole_rows(data, size, full_width, full_height, left, top, width, height, keep, &planes);
}
