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

/* Decode the rectangle (left, top, width, height), in pixels as they are stored, of `size` bytes at `data`, into
   3 x height x width bytes at `out`, red before green before blue. `full_width` and `full_height` are the size that the caller expects.
   Returns WHOLE where every pixel is there. */
int mole_cropped(const unsigned char *data, unsigned long size, unsigned full_width, unsigned full_height,
                 unsigned left, unsigned top, unsigned width, unsigned height, unsigned char *out)
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
        size_t plane = (size_t)width * height;
        unsigned char *restrict red = out + (size_t)(row - top) * width;
        unsigned char *restrict green = red + plane, *restrict blue = green + plane;
        const unsigned char *restrict pixel = line + (size_t)(left - from) * 3;
        for (unsigned column = 0; column < width; column++, pixel += 3) {
            red[column] = pixel[0];
            green[column] = pixel[1];
            blue[column] = pixel[2];
        }
    }
    jpeg_destroy_decompress(&codec);
    free(scratch);
    return WHOLE;
}
