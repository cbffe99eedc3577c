/* A libFuzzer target of pipeline/images/cropped.c and resized.c: whatever a JPEG holds, no byte outside the buffers is
   touched, and a rectangle that is whole equals, to the bit, that of the whole image wherever libjpeg finds nothing wrong
   with it; and a resize of its rows as they come equals that of the whole image's pixels.

   An input is eight bytes that choose the rectangle, then the file. */

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

enum { CHOICE = 8, MOST_PIXELS = 1 << 18, MOST_SCANS = 24, MOST_SIDE = 64 };

int mole_cropped(const unsigned char *data, unsigned long size, unsigned full_width, unsigned full_height,
                 unsigned left, unsigned top, unsigned width, unsigned height, unsigned char *out);

struct axis {
    unsigned full, scaled, first, count, mirrored, bits;
};

int mole_resized(const unsigned char *data, unsigned long size, unsigned long stride, const struct axis *axes,
                 unsigned is_down_first, unsigned char *out);

struct end {
    struct jpeg_error_mgr manager;
    jmp_buf back;
};

static void give_up(j_common_ptr codec)
{
    longjmp(((struct end *)codec->err)->back, 1);
}

static void stop_at_warnings(j_common_ptr codec, int level)
{
    if (level < 0)
        give_up(codec);
}

/* Decode the whole, or only its header where `out` is NULL; 0 if that ends without an error or a warning. `out` gets
   3 bytes a pixel, and is allocated here; the caller frees it. */
static int whole(const unsigned char *data, size_t size, unsigned *width, unsigned *height, unsigned char **out)
{
    struct jpeg_decompress_struct codec;
    struct end end;

    memset(&codec, 0, sizeof codec);
    codec.err = jpeg_std_error(&end.manager);
    end.manager.error_exit = give_up;
    end.manager.emit_message = stop_at_warnings;
    if (setjmp(end.back)) {
        jpeg_destroy_decompress(&codec);
        return 1;
    }
    jpeg_create_decompress(&codec);
    jpeg_mem_src(&codec, (unsigned char *)data, size);
    jpeg_read_header(&codec, TRUE);
    *width = codec.image_width;
    *height = codec.image_height;
    if (out) {
        codec.out_color_space = JCS_RGB;
        jpeg_start_decompress(&codec);
        *out = malloc((size_t)*width * *height * 3);
        while (codec.output_scanline < *height) {
            JSAMPROW line = *out + (size_t)codec.output_scanline * *width * 3;
            jpeg_read_scanlines(&codec, &line, 1);
        }
        jpeg_finish_decompress(&codec);
    }
    jpeg_destroy_decompress(&codec);
    return 0;
}

/* As pipeline/images/formats/jpeg.py bounds it before anything is decoded. */
static int is_dear(const unsigned char *data, size_t size, unsigned width, unsigned height)
{
    unsigned scans = 0;

    for (size_t at = 0; at + 1 < size; at++)
        scans += data[at] == 0xFF && data[at + 1] == 0xDA;
    return (uint64_t)width * height > MOST_PIXELS || scans > MOST_SCANS;
}

static void compare(const unsigned char *all, const unsigned char *part, unsigned full_width, const unsigned *window)
{
    unsigned left = window[0], top = window[1], width = window[2], height = window[3];

    for (unsigned row = 0; row < height; row++)
        for (unsigned column = 0; column < width; column++)
            for (unsigned colour = 0; colour < 3; colour++) {
                unsigned seen = part[((size_t)colour * height + row) * width + column];
                unsigned right = all[((size_t)(top + row) * full_width + left + column) * 3 + colour];
                if (seen != right) {
                    fprintf(stderr, "colour %u of column %u, row %u: %u and not %u in %u x %u at %u, %u\n", colour,
                            column, row, seen, right, width, height, left, top);
                    abort();
                }
            }
}

/* Choose both axes by the same bytes as the rectangle: torch's weights and Pillow's, either way round, in both orders. */
static void resize(const unsigned char *data, size_t size, unsigned full_width, unsigned full_height,
                   const unsigned *chosen, const unsigned char *all)
{
    struct axis axes[2];
    unsigned full[2] = {full_width, full_height};

    for (int way = 0; way < 2; way++) {
        axes[way].full = full[way];
        axes[way].scaled = 1 + chosen[way] % (2 * MOST_SIDE);
        axes[way].first = chosen[2 + way] % axes[way].scaled;
        axes[way].count = 1 + chosen[way] % (axes[way].scaled - axes[way].first);
        axes[way].mirrored = chosen[way] >> 8 & 1;
        axes[way].bits = chosen[2] >> 8 & 1 ? 22 : 0;
    }
    size_t bytes = (size_t)axes[0].count * axes[1].count * 3;
    unsigned char *rows = malloc(bytes), *pixels = malloc(bytes);
    unsigned order = chosen[3] >> 8 & 1;
    int failed = mole_resized(data, size, 0, axes, order, rows);
    if (!failed && all &&
        (mole_resized(all, 0, (unsigned long)full_width * 3, axes, order, pixels) || memcmp(rows, pixels, bytes))) {
        fprintf(stderr, "a resize of %u x %u to %u x %u is not that of the whole\n", full_width, full_height,
                axes[0].scaled, axes[1].scaled);
        abort();
    }
    free(rows);
    free(pixels);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t length)
{
    unsigned full_width = 0, full_height = 0;

    if (length <= CHOICE)
        return 0;
    const unsigned char *data = input + CHOICE;
    size_t size = length - CHOICE;
    if (whole(data, size, &full_width, &full_height, NULL) || is_dear(data, size, full_width, full_height))
        return 0;
    unsigned chosen[4], window[4];
    for (int part = 0; part < 4; part++)
        chosen[part] = input[2 * part] << 8 | input[2 * part + 1];
    window[0] = chosen[0] % full_width;
    window[1] = chosen[1] % full_height;
    window[2] = 1 + chosen[2] % (full_width - window[0]);
    window[3] = 1 + chosen[3] % (full_height - window[1]);
    unsigned char *part = malloc((size_t)window[2] * window[3] * 3), *all = NULL;
    int failed =
        mole_cropped(data, size, full_width, full_height, window[0], window[1], window[2], window[3], part);
    int is_sound = !whole(data, size, &full_width, &full_height, &all);
    if (!failed && is_sound)
        compare(all, part, full_width, window);
    resize(data, size, full_width, full_height, chosen, is_sound ? all : NULL);
    free(part);
    free(all);
    return 0;
}

#ifdef REPLAY /* Without libFuzzer: the inputs are the files that are named. */
int main(int count, char **paths)
{
    for (int number = 1; number < count; number++) {
        FILE *file = fopen(paths[number], "rb");
        if (!file)
            return 2;
        fseek(file, 0, SEEK_END);
        long length = ftell(file);
        rewind(file);
        uint8_t *input = malloc(length + 1);
        if (fread(input, 1, length, file) != (size_t)length)
            return 2;
        fclose(file);
        fprintf(stderr, "%s\n", paths[number]);
        LLVMFuzzerTestOneInput(input, length);
        free(input);
    }
    return 0;
}
#endif
