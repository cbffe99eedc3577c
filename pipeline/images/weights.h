/* The weights of one direction of a resize; pipeline/images/resized.c sums by them. */

#include <stdint.h>

enum { WHOLE = 0, REFUSED = 1, MISFIT = 2, MEMORY = 3 };
enum { HIGH = 15, STEP = 4 };

/* One direction. `full` pixels become `scaled`, of which `count` from `first` on are kept; both are counted upright, and
   the rows or columns come in the other direction if it is `mirrored`. `bits` is the precision of Pillow's weights, 0
   for torch's, which is the largest that fits 16 bits. */
struct axis {
    unsigned full, scaled, first, count, mirrored, bits;
};

/* The weights of one axis: each output sums `taps` pixels from `start` on. A weight is high x 2^15 + low. */
struct weights {
    unsigned count, taps, bits, is_wide, first, behind;
    unsigned *start, *used;
    int16_t *high, *low;
};

/* Allocate the weights of an axis; returns WHOLE, MISFIT for an axis that cannot be, or MEMORY. `mole_forget` frees them,
   whatever was returned. */
int mole_weigh(const struct axis *axis, struct weights *made);
void mole_forget(struct weights *weights);
