/* The equations of the LSTM cell for one vector of units of one row, forward and backward; charlm/lstm/cell.py states
 * them in mathematical notation. */
#pragma once

#include "vector.h"

enum { GATES = 4 };

/* The gates after the activation functions, and the state after a step. */
typedef struct {
    Floats i, f, g, o, c, h;
} Cell;

/* Compute a step from the pre-activations of the four gates, each the sum of two terms, and c before the step. */
INLINE Cell advance_cell(const Floats products[GATES], const Floats gates_x[GATES], Floats c_before)
{
    Cell cell = {.i = sigmoid(products[0] + gates_x[0]), .f = sigmoid(products[1] + gates_x[1]),
                 .g = hyperbolic_tangent(products[2] + gates_x[2]), .o = sigmoid(products[3] + gates_x[3])};
    cell.c = cell.f * c_before + cell.i * cell.g;
    cell.h = cell.o * hyperbolic_tangent(cell.c);
    return cell;
}

/* Back-propagate through a step: from the gradients of h and c after it to those of the pre-activations, `grads`.
 * `cell` has the gates and c after the step, but not h. Returns the gradient of c before the step. */
INLINE Floats back_propagate_cell(const Cell *cell, Floats c_before, Floats grad_h, Floats grad_c, Floats grads[GATES])
{
    const Floats i = cell->i, f = cell->f, g = cell->g, o = cell->o, tanh_c = hyperbolic_tangent(cell->c);
    grad_c += grad_h * o * (1.0f - tanh_c * tanh_c);
    grads[0] = grad_c * g * (i * (1.0f - i));
    grads[1] = grad_c * c_before * (f * (1.0f - f));
    grads[2] = grad_c * i * (1.0f - g * g);
    grads[3] = grad_h * tanh_c * (o * (1.0f - o));
    return grad_c * f;
}
