/* The weights of an antialiased bicubic resize, rounded as Pillow or as torch does, to the bit. */

#include <limits.h>
#include <math.h>
#include <stdlib.h>

#include "weights.h"

static double cubic(double x)
{
    const double a = -0.5;

    x = fabs(x);
    if (x < 1.0)
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    if (x < 2.0)
        return (((x - 5) * x + 8) * x - 4) * a;
    return 0.0;
}

int mole_weigh(const struct axis *axis, struct weights *made)
{
    double scale = (double)axis->full / axis->scaled, wide = scale < 1.0 ? 1.0 : scale, support = 2.0 * wide;
    size_t most = (size_t)ceil(support) * 2 + 1, taps = (most + STEP - 1) / STEP * STEP;

    if (!axis->count || axis->count > axis->scaled || axis->first > axis->scaled - axis->count || !axis->full ||
        most > INT_MAX / 4 / axis->count)
        return MISFIT;
    double *exact = calloc((axis->count + 1) * taps, sizeof *exact), largest = 0.0; /* the last row for what is not kept */
    unsigned whole = axis->bits ? axis->count : axis->scaled, before = axis->bits ? axis->first : 0;
    made->count = axis->count;
    made->taps = taps;
    made->start = calloc(axis->count, sizeof *made->start);
    made->used = calloc(axis->count, sizeof *made->used);
    made->high = calloc(axis->count * taps, sizeof *made->high);
    made->low = calloc(axis->count * taps, sizeof *made->low);
    if (!exact || !made->start || !made->used || !made->high || !made->low) {
        free(exact);
        return MEMORY;
    }
    made->first = axis->full;
    for (unsigned at = before; at < before + whole; at++) { /* torch's precision depends on the weights of all outputs */
        double centre = (at + 0.5) * scale, sum = 0.0;
        long begin = (long)(centre - support + 0.5), end = (long)(centre + support + 0.5);
        int is_kept = at >= axis->first && at - axis->first < axis->count;
        unsigned output = is_kept ? at - axis->first : axis->count;
        unsigned place = axis->mirrored && is_kept ? axis->count - 1 - output : output;
        double *row = exact + place * taps;
        begin = begin < 0 ? 0 : begin;
        end = end > (long)axis->full ? (long)axis->full : end;
        unsigned count = end - begin;
        for (unsigned tap = 0; tap < count; tap++)
            sum += row[tap] = cubic((tap + begin - centre + 0.5) * (1.0 / wide));
        for (unsigned tap = 0; tap < count && sum != 0.0; tap++) {
            row[tap] /= sum;
            largest = row[tap] > largest ? row[tap] : largest;
        }
        if (!is_kept)
            continue;
        for (unsigned tap = 0; axis->mirrored && tap < count / 2; tap++) {
            double other = row[tap];
            row[tap] = row[count - 1 - tap];
            row[count - 1 - tap] = other;
        }
        made->used[place] = count;
        made->start[place] = axis->mirrored ? axis->full - end : begin;
        made->first = made->start[place] < made->first ? made->start[place] : made->first;
        made->behind = made->start[place] + count > made->behind ? made->start[place] + count : made->behind;
    }
    made->bits = axis->bits;
    made->is_wide = axis->bits > 0;
    while (!made->is_wide && made->bits < 22 && (int)(0.5 + largest * (1 << (made->bits + 1))) < 1 << 15)
        made->bits++;
    for (size_t at = 0; at < axis->count * taps; at++) {
        double scaled = exact[at] * (1 << made->bits);
        int weight = (int)(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
        made->high[at] = made->is_wide ? weight >> HIGH : 0;
        made->low[at] = made->is_wide ? weight & ((1 << HIGH) - 1) : weight;
    }
    free(exact);
    return WHOLE;
}

void mole_forget(struct weights *weights)
{
    free(weights->start);
    free(weights->used);
    free(weights->high);
    free(weights->low);
}
