/* The centre of an antialiased bicubic resize, from rows that come one at a time: the whole picture is never held. The
   arithmetic is that of Pillow or of torch, whichever the caller names, to the bit. pipeline/images/cropped.py calls it. */

#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(PLAIN)
#include <immintrin.h>
#define QUICK __attribute__((target("avx2")))
#endif

#include "weights.h"

enum { COLOURS = 3, COLUMNS = 16, ROOM = 64 };

struct spread {
    int16_t *low, *high;
};

struct resize {
    struct weights across, down;
    struct spread spread; /* of the weights across, where the processor has AVX2 */
    unsigned is_down_first, is_quick, columns, row, done;
    size_t stride;
    unsigned char *ring, *wide, *narrow; /* rows of the picture or of the result, each with ROOM behind it */
    const unsigned char **chosen;
    unsigned char *out;
};

int mole_rows(const unsigned char *data, unsigned long size, unsigned full_width, unsigned full_height, unsigned left,
              unsigned top, unsigned width, unsigned height, void (*take)(void *, const unsigned char *), void *state);

static unsigned char clipped(uint32_t sum, unsigned bits)
{
    int32_t value = (int32_t)(sum + (1U << (bits - 1))) >> bits;

    return value < 0 ? 0 : value > 255 ? 255 : value;
}


/* One row, red, green, blue from pixel to pixel, becomes one of `count` pixels. The sums are unsigned, since parts of them
   may overflow where the whole does not. */
static void shrink_across(const struct weights *across, const unsigned char *row, unsigned char *out)
{
    for (unsigned output = 0; output < across->count; output++) {
        const unsigned char *pixel = row + (size_t)(across->start[output] - across->first) * COLOURS;
        const int16_t *low = across->low + (size_t)output * across->taps;
        const int16_t *high = across->high + (size_t)output * across->taps;
        for (int colour = 0; colour < COLOURS; colour++, pixel++) {
            uint32_t below = 0, above = 0;
            for (unsigned tap = 0; tap < across->used[output]; tap++) {
                below += (uint32_t)(low[tap] * pixel[tap * COLOURS]);
                above += (uint32_t)(high[tap] * pixel[tap * COLOURS]);
            }
            *out++ = clipped(below + (above << HIGH), across->bits);
        }
    }
}

static void shrink_down(const struct weights *down, size_t at, const unsigned char **rows, unsigned used, size_t column,
                     size_t end, unsigned char *out)
{
    for (; column < end; column++) {
        uint32_t low = 0, high = 0;
        for (unsigned tap = 0; tap < used; tap++) {
            low += (uint32_t)(down->low[at + tap] * rows[tap][column]);
            high += (uint32_t)(down->high[at + tap] * rows[tap][column]);
        }
        out[column] = clipped(low + (high << HIGH), down->bits);
    }
}

#ifdef QUICK
/* Four pixels at a time: each half of a register has two of them, colour by colour, as pairs of 16 bits that are weighted
   and added; `spread` has the weights in that order. Reads up to ROOM bytes behind the row, under weights of 0. */
QUICK static inline __m256i weighted(const int16_t *spread, const unsigned char *pixel)
{
    const __m256i pairs = _mm256_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1, 6, -1, 9, -1, 7, -1,
                                           10, -1, 8, -1, 11, -1, -1, -1, -1, -1);
    __m256i four = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)pixel));

    return _mm256_madd_epi16(_mm256_shuffle_epi8(four, pairs), _mm256_loadu_si256((const __m256i *)spread));
}

QUICK static inline __m256i sum_across(const int16_t *spread, const unsigned char *pixel, unsigned used)
{
    __m256i sum = _mm256_setzero_si256(), more = sum;
    unsigned tap = 0;

    for (; tap + STEP < used; tap += 2 * STEP, pixel += 2 * STEP * COLOURS, spread += 2 * STEP * STEP) {
        sum = _mm256_add_epi32(sum, weighted(spread, pixel));
        more = _mm256_add_epi32(more, weighted(spread + STEP * STEP, pixel + STEP * COLOURS));
    }
    if (tap < used)
        sum = _mm256_add_epi32(sum, weighted(spread, pixel));
    return _mm256_add_epi32(sum, more);
}

QUICK static void shrink_across_quickly(const struct weights *across, const struct spread *spread,
                                        const unsigned char *row, unsigned char *out)
{
    const unsigned count = across->count, *start = across->start, *used = across->used, first = across->first;
    const __m128i half = _mm_set1_epi32(1 << (across->bits - 1)), by = _mm_cvtsi32_si128(across->bits);
    const size_t step = (size_t)across->taps * STEP;

    for (unsigned output = 0; output < count; output++, out += COLOURS) {
        const unsigned char *pixel = row + (size_t)(start[output] - first) * COLOURS;
        __m256i below = sum_across(spread->low + output * step, pixel, used[output]);
        if (spread->high) {
            __m256i above = sum_across(spread->high + output * step, pixel, used[output]);
            below = _mm256_add_epi32(below, _mm256_slli_epi32(above, HIGH));
        }
        __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(below), _mm256_extracti128_si256(below, 1));
        sum = _mm_sra_epi32(_mm_add_epi32(sum, half), by);
        sum = _mm_packs_epi32(sum, sum);
        int bytes = _mm_cvtsi128_si32(_mm_packus_epi16(sum, sum));
        memcpy(out, &bytes, sizeof bytes); /* the fourth is overwritten by the next pixel, or lies in the room behind */
    }
}

static int16_t *spread_out(const struct weights *across, const int16_t *weights)
{
    size_t all = (size_t)across->count * across->taps;
    int16_t *made = malloc(all * STEP * sizeof *made);

    for (size_t at = 0; made && at < all * STEP; at++) /* of four weights the first two four times, then the last two */
        made[at] = weights[at / (STEP * STEP) * STEP + at % (STEP * STEP) / 8 * 2 + at % 2];
    return made;
}

/* Sixteen columns at a time, two rows at a time; returns the first column that is left. */
QUICK static size_t shrink_down_quickly(const struct weights *down, size_t at, const unsigned char **rows, unsigned used,
                                     size_t end, unsigned char *out)
{
    const __m256i half = _mm256_set1_epi32(1 << (down->bits - 1));
    const __m128i by = _mm_cvtsi32_si128(down->bits), top = _mm_cvtsi32_si128(HIGH);
    size_t column = 0;

    for (; column + COLUMNS <= end; column += COLUMNS) {
        __m256i left = half, right = half, above_left = _mm256_setzero_si256(), above_right = above_left;
        for (unsigned tap = 0; tap < used; tap += 2) {
            unsigned next = tap + 1 < used ? tap + 1 : tap;
            __m256i one = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(rows[tap] + column)));
            __m256i two = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(rows[next] + column)));
            __m256i first = _mm256_unpacklo_epi16(one, two), second = _mm256_unpackhi_epi16(one, two);
            int pair;
            memcpy(&pair, down->low + at + tap, sizeof pair);
            __m256i weight = _mm256_set1_epi32(pair);
            left = _mm256_add_epi32(left, _mm256_madd_epi16(first, weight));
            right = _mm256_add_epi32(right, _mm256_madd_epi16(second, weight));
            if (down->is_wide) {
                memcpy(&pair, down->high + at + tap, sizeof pair);
                weight = _mm256_set1_epi32(pair);
                above_left = _mm256_add_epi32(above_left, _mm256_madd_epi16(first, weight));
                above_right = _mm256_add_epi32(above_right, _mm256_madd_epi16(second, weight));
            }
        }
        left = _mm256_sra_epi32(_mm256_add_epi32(left, _mm256_sll_epi32(above_left, top)), by);
        right = _mm256_sra_epi32(_mm256_add_epi32(right, _mm256_sll_epi32(above_right, top)), by);
        __m256i words = _mm256_packs_epi32(left, right);
        __m256i bytes = _mm256_permute4x64_epi64(_mm256_packus_epi16(words, words), 0x08);
        _mm_storeu_si128((__m128i *)(out + column), _mm256_castsi256_si128(bytes));
    }
    return column;
}
#endif

static void across(struct resize *resize, const unsigned char *row, unsigned char *out)
{
#ifdef QUICK
    if (resize->is_quick) {
        shrink_across_quickly(&resize->across, &resize->spread, row, out);
        return;
    }
#endif
    shrink_across(&resize->across, row, out);
}

/* The rows under one output's weights become one row of `bytes`. */
static void down(struct resize *resize, size_t bytes, unsigned char *out)
{
    const struct weights *down = &resize->down;
    unsigned used = down->used[resize->done];
    size_t at = (size_t)resize->done * down->taps, column = 0;

    for (unsigned tap = 0; tap < used; tap++)
        resize->chosen[tap] = resize->ring + (down->start[resize->done] + tap) % down->taps * resize->stride;
#ifdef QUICK
    if (resize->is_quick)
        column = shrink_down_quickly(down, at, resize->chosen, used, bytes, out);
#endif
    shrink_down(down, at, resize->chosen, used, column, bytes, out);
}

/* Take the next row of the picture: keep what the outputs need of it, and finish those for which it is the last. */
static void take(void *state, const unsigned char *row)
{
    struct resize *resize = state;
    unsigned char *kept = resize->ring + (size_t)(resize->row % resize->down.taps) * resize->stride;
    size_t wide = (size_t)resize->columns * COLOURS, narrow = (size_t)resize->across.count * COLOURS;

    memcpy(resize->is_down_first ? kept : resize->wide, row, wide);
    if (!resize->is_down_first)
        across(resize, resize->wide, kept);
    resize->row++;
    for (; resize->done < resize->down.count; resize->done++) {
        const unsigned char *pixel = resize->narrow;
        unsigned char *out = resize->out + (size_t)resize->done * resize->across.count;
        if (resize->down.start[resize->done] + resize->down.used[resize->done] > resize->row)
            break;
        down(resize, resize->is_down_first ? wide : narrow, resize->is_down_first ? resize->wide : resize->narrow);
        if (resize->is_down_first)
            across(resize, resize->wide, resize->narrow);
        for (unsigned column = 0; column < resize->across.count; column++)
            for (int colour = 0; colour < COLOURS; colour++)
                out[((size_t)colour * resize->down.count) * resize->across.count + column] = *pixel++;
    }
}

static int prepare(struct resize *resize, const struct axis *axes, unsigned is_down_first, unsigned char *out)
{
    int failed = mole_weigh(&axes[0], &resize->across);

    if (failed || (failed = mole_weigh(&axes[1], &resize->down)))
        return failed;
    resize->is_down_first = is_down_first;
    resize->columns = resize->across.behind - resize->across.first;
    resize->row = resize->down.first;
    resize->out = out;
    resize->stride = (size_t)COLOURS * (is_down_first ? resize->columns : resize->across.count) + ROOM;
    resize->ring = calloc(resize->down.taps, resize->stride);
    resize->wide = calloc(1, (size_t)resize->columns * COLOURS + ROOM);
    resize->narrow = calloc(1, (size_t)resize->across.count * COLOURS + ROOM);
    resize->chosen = calloc(resize->down.taps, sizeof *resize->chosen);
#ifdef QUICK
    resize->is_quick = __builtin_cpu_supports("avx2") != 0;
    if (resize->is_quick) {
        resize->spread.low = spread_out(&resize->across, resize->across.low);
        resize->spread.high = resize->across.is_wide ? spread_out(&resize->across, resize->across.high) : NULL;
        if (!resize->spread.low || (resize->across.is_wide && !resize->spread.high))
            return MEMORY;
    }
#endif
    return resize->ring && resize->wide && resize->narrow && resize->chosen ? WHOLE : MEMORY;
}

/* Resize a JPEG of `size` bytes, or, where `size` is 0, the pixels of a picture, red, green, blue from pixel to pixel,
   `stride` bytes a row. `axes` are those of the stored picture: across, then down. Writes 3 x count down x count across
   bytes to `out`, red before green before blue. Returns WHOLE where every pixel is there. */
int mole_resized(const unsigned char *data, unsigned long size, unsigned long stride, const struct axis *axes,
                 unsigned is_down_first, unsigned char *out)
{
    struct resize resize;

    memset(&resize, 0, sizeof resize);
    int outcome = prepare(&resize, axes, is_down_first, out);
    unsigned left = resize.across.first, top = resize.down.first;
    if (!outcome && size)
        outcome = mole_rows(data, size, axes[0].full, axes[1].full, left, top, resize.columns, resize.down.behind - top,
                            take, &resize);
    for (unsigned row = top; !outcome && !size && row < resize.down.behind; row++)
        take(&resize, data + row * stride + (size_t)left * COLOURS);
    mole_forget(&resize.across);
    mole_forget(&resize.down);
    free(resize.spread.low);
    free(resize.spread.high);
    free(resize.ring);
    free(resize.wide);
    free(resize.narrow);
    free(resize.chosen);
    return outcome;
}
