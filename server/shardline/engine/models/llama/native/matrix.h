// Products of weights in torch's layouts with a few rows of float32.

#pragma once

#include <algorithm>

#include "lanes.h"

constexpr int UNIT = 2 * WIDTH;       // outputs that a thread computes at once, at least
constexpr int GROUP = 32;             // 4-bit weights of an output that share a scale
constexpr int HALVES = BLOCK / UNIT;  // units in a block of torch's 4-bit layout
constexpr int MAX_ROWS = 8;
constexpr int LINE = 64;     // bytes that come from memory together
constexpr int AHEAD = 4096;  // distance of a prefetch, in bytes of weights

enum Kind { DENSE, INT8, INT4 };

// Of shape (outs, ins). Dense weights are bfloat16, and int8 lies by rows as they do. int4 lies in blocks of outputs: for
// each input BLOCK / 2 bytes, the first half of the outputs in their low bits, the second half in their high bits.
struct Matrix {
    int64_t kind, outs, ins;
    const void* weight;
    const Bfloat* scales;  // int8: one for each output; int4: (groups, outs, 2), a scale and what 8 stands for
    const Bfloat* bias;    // or null
};

// Outputs that are computed at once: for some rows, vectors that begin at `first`.
struct Piece {
    int vectors;
    int64_t first[4];
    Lanes lanes[MAX_ROWS][4];
};

inline int64_t units(int64_t outs) { return (outs + UNIT - 1) / UNIT; }

// Sums each group of `x`, shape (rows, ins): the zero points of 4-bit numbers need only these, outside of the loop.
inline void sum_groups(const Matrix& m, const float* x, int64_t rows, float* sums) {
    if (m.kind != INT4) return;
    for (int64_t group = 0; group < rows * m.ins / GROUP; ++group)
        sums[group] = sum(load(x + group * GROUP) + load(x + group * GROUP + WIDTH));
}

// Prefetches `bytes` of weights while others are multiplied by several rows; a single row would only wait for them.
inline void fetch(const void* from, int64_t bytes) {
    for (int64_t at = 0; at < bytes; at += LINE) __builtin_prefetch(static_cast<const char*>(from) + at);
}

// Multiplies COUNT units of int4 by the rows from `at` on.
template <int ROWS, int COUNT>
void multiply_int4(const Matrix& m, const float* x, const float* sums, int64_t unit, int64_t at, Piece& piece) {
    const int64_t groups = m.ins / GROUP;
    const uint8_t* weight =
        static_cast<const uint8_t*>(m.weight) + unit / HALVES * m.ins * (BLOCK / 2) + unit % HALVES * WIDTH;
    Lanes total[ROWS][COUNT * 2] = {};
    for (int64_t group = 0; group < groups; ++group) {
        Lanes part[ROWS][COUNT * 2] = {};
        if (ROWS > 1 && at == 0) {
            fetch(weight + group * GROUP * (BLOCK / 2) + AHEAD, GROUP * (BLOCK / 2));
            fetch(m.scales + 2 * (group * m.outs + piece.first[0] + BLOCK), 2 * UNIT * COUNT * sizeof *m.scales);
        }
#pragma GCC unroll 4
        for (int64_t k = group * GROUP; k < (group + 1) * GROUP; ++k)
            for (int c = 0; c < COUNT; ++c) {
                const Integers bytes = widen(weight + k * (BLOCK / 2) + c * WIDTH);
                const Lanes low = __builtin_convertvector(bytes & 15, Lanes);
                const Lanes high = __builtin_convertvector(bytes >> 4, Lanes);
                for (int row = 0; row < ROWS; ++row) {
                    part[row][2 * c] += x[row * m.ins + k] * low;
                    part[row][2 * c + 1] += x[row * m.ins + k] * high;
                }
            }
        for (int v = 0; v < COUNT * 2; ++v) {
            const auto both = read<Integers>(m.scales + 2 * (group * m.outs + piece.first[v]));
            const Lanes scale = cast<Lanes>(both << 16), zero = cast<Lanes>(both & int32_t(0xffff0000));
            const Lanes least = zero - 8.0f * scale;
            for (int row = 0; row < ROWS; ++row)
                total[row][v] += part[row][v] * scale + sums[row * groups + group] * least;
        }
    }
    for (int row = 0; row < ROWS; ++row)
        for (int v = 0; v < COUNT * 2; ++v) piece.lanes[at + row][v] = total[row][v];
}

// Multiplies a unit of weights stored by rows by the rows of `x` from `at` on.
template <int ROWS, class Weight>
void multiply_rows(const Matrix& m, const float* x, int64_t at, Piece& piece) {
    constexpr int ONCE = 4;
    const auto* weight = static_cast<const Weight*>(m.weight);
    for (int v = 0; v < piece.vectors; ++v) {
        float result[ROWS][WIDTH];
        for (int n = 0; n < WIDTH; n += ONCE) {
            const Weight* from[ONCE];
            for (int i = 0; i < ONCE; ++i) from[i] = weight + std::min(piece.first[v] + n + i, m.outs - 1) * m.ins;
            Lanes total[ROWS][ONCE] = {};
            for (int64_t k = 0; k < m.ins; k += WIDTH)
                for (int i = 0; i < ONCE; ++i) {
                    if (ROWS > 1 && at == 0 && k * sizeof(Weight) % LINE == 0) fetch(from[i] + k + 2 * ONCE * m.ins, LINE);
                    const Lanes lanes = load(from[i] + k);
                    for (int row = 0; row < ROWS; ++row) total[row][i] += load(x + row * m.ins + k) * lanes;
                }
            for (int row = 0; row < ROWS; ++row) store(&result[row][n], sums(total[row]));
        }
        for (int row = 0; row < ROWS; ++row) piece.lanes[at + row][v] = load(result[row]);
    }
}

template <int ROWS>
void multiply_some(const Matrix& m, const float* x, const float* sums, int64_t unit, int64_t at, Piece& piece) {
    x += at * m.ins;
    if (m.kind == INT8) return multiply_rows<ROWS, int8_t>(m, x, at, piece);
    if (m.kind == DENSE) return multiply_rows<ROWS, Bfloat>(m, x, at, piece);
    sums += at * (m.ins / GROUP);
    if (piece.vectors == 4) return multiply_int4<ROWS, 2>(m, x, sums, unit, at, piece);
    multiply_int4<ROWS, 1>(m, x, sums, unit, at, piece);
}

// Computes units `begin` to `end` of the product with `x`, shape (rows, ins); `write(row, output, lanes)` takes 16 outputs.
template <class Write>
void multiply(const Matrix& m, const float* x, const float* sums, int64_t rows, int64_t begin, int64_t end, Write write) {
    Piece piece;
    for (int64_t unit = begin; unit < end; unit += piece.vectors / 2) {
        const bool whole_block = m.kind == INT4 && HALVES == 2 && unit % 2 == 0 && unit + 1 < end;
        piece.vectors = whole_block ? 4 : 2;
        for (int v = 0; v < piece.vectors; ++v)
            piece.first[v] = m.kind == INT4
                                 ? unit / HALVES * BLOCK + (unit % HALVES + v / 2) * WIDTH + v % 2 * (BLOCK / 2)
                                 : unit * UNIT + v * WIDTH;
        for (int64_t at = 0; at < rows; at += 4) switch (rows - at) {
                case 1: multiply_some<1>(m, x, sums, unit, at, piece); break;
                case 2: multiply_some<2>(m, x, sums, unit, at, piece); break;
                case 3: multiply_some<3>(m, x, sums, unit, at, piece); break;
                default: multiply_some<4>(m, x, sums, unit, at, piece);
            }
        for (int v = 0; v < piece.vectors; ++v)
            for (int64_t row = 0; row < rows; ++row) {
                Lanes lanes = piece.lanes[row][v];
                if (m.kind == INT8) lanes *= load(m.scales + piece.first[v]);
                if (m.bias) lanes += load(m.bias + piece.first[v]);
                write(row, piece.first[v], lanes);
            }
    }
}
