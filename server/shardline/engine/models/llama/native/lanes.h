// Vectors of sixteen float32 numbers, loaded from numbers of fewer bits too.

#pragma once

// GCC 12 drops calls of functions that write through a reference if it sees only one value of a template's number.
#pragma GCC optimize("no-ipa-modref", "no-ipa-pure-const")

#include <immintrin.h>

#include <cstdint>
#include <cstring>

constexpr int WIDTH = 16;

typedef float Lanes __attribute__((vector_size(4 * WIDTH)));
typedef int32_t Integers __attribute__((vector_size(4 * WIDTH)));
typedef float Four __attribute__((vector_size(16)));

struct Bfloat {
    uint16_t bits;
};

template <class To, class From>
inline To cast(From from) {
    static_assert(sizeof(To) == sizeof(From), "a cast keeps all bits");
    To to;
    std::memcpy(&to, &from, sizeof to);
    return to;
}

template <class Vector, class Element>
inline Vector read(const Element* from) {
    Vector vector;
    std::memcpy(&vector, from, sizeof vector);
    return vector;
}

// Compilers do not emit these instructions by themselves.
#ifdef __AVX512F__
inline Integers widen(const uint8_t* from) { return cast<Integers>(_mm512_cvtepu8_epi32(read<__m128i>(from))); }
inline Integers widen(const int8_t* from) { return cast<Integers>(_mm512_cvtepi8_epi32(read<__m128i>(from))); }
inline Integers widen(const Bfloat* from) { return cast<Integers>(_mm512_cvtepu16_epi32(read<__m256i>(from))); }
#else
struct Halves {
    __m256i low, high;
};

inline Integers widen(const uint8_t* from) {
    const auto bytes = read<__m128i>(from);
    return cast<Integers>(Halves{_mm256_cvtepu8_epi32(bytes), _mm256_cvtepu8_epi32(_mm_srli_si128(bytes, 8))});
}
inline Integers widen(const int8_t* from) {
    const auto bytes = read<__m128i>(from);
    return cast<Integers>(Halves{_mm256_cvtepi8_epi32(bytes), _mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8))});
}
inline Integers widen(const Bfloat* from) {
    return cast<Integers>(
        Halves{_mm256_cvtepu16_epi32(read<__m128i>(from)), _mm256_cvtepu16_epi32(read<__m128i>(from + 8))});
}
#endif

inline Lanes load(const float* from) { return read<Lanes>(from); }
inline Lanes load(const int8_t* from) { return __builtin_convertvector(widen(from), Lanes); }
inline Lanes load(const Bfloat* from) { return cast<Lanes>(widen(from) << 16); }

inline void store(float* to, Lanes lanes) { std::memcpy(to, &lanes, sizeof lanes); }
inline void store(float* to, Four four) { std::memcpy(to, &four, sizeof four); }

inline float number(Bfloat from) { return cast<float>(uint32_t(from.bits) << 16); }

// Rounds to the nearest number, ties to even.
inline Bfloat rounded(float from) {
    const auto bits = cast<uint32_t>(from);
    return {uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}

// Returns the four sums of the numbers that are four apart.
inline Four fold(Lanes lanes) {
    typedef float Eight __attribute__((vector_size(32)));
    struct Eights {
        Eight low, high;
    };
    struct Fours {
        Four low, high;
    };
    const auto eights = cast<Eights>(lanes);
    const auto fours = cast<Fours>(eights.low + eights.high);
    return fours.low + fours.high;
}

inline float sum(Lanes lanes) {
    const Four four = fold(lanes);
    return four[0] + four[1] + (four[2] + four[3]);
}

// Returns the sums of four vectors, with fewer instructions than one after the other.
inline Four sums(const Lanes* lanes) {
    const Integers low = {0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29};
    const Integers pairs = {0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29};
    const Lanes front = __builtin_shuffle(lanes[0], lanes[1], low) + __builtin_shuffle(lanes[0], lanes[1], low + 2);
    const Lanes back = __builtin_shuffle(lanes[2], lanes[3], low) + __builtin_shuffle(lanes[2], lanes[3], low + 2);
    return fold(__builtin_shuffle(front, back, pairs) + __builtin_shuffle(front, back, pairs + 2));
}

inline float largest(Lanes lanes) {
    float most = lanes[0];
    for (int lane = 1; lane < WIDTH; ++lane) most = lanes[lane] > most ? lanes[lane] : most;
    return most;
}

// Returns e to the power of x, clamped to -87 and 88: a power of two times a polynomial in the remainder, good to a
// float's last digits.
inline Lanes exponential(Lanes x) {
    x = x < -87.0f ? Lanes{} - 87.0f : x;
    x = x > 88.0f ? Lanes{} + 88.0f : x;
    const Lanes scaled = x * 1.44269504f + 12582912.0f;  // 1.5 * 2^23: rounds to whole numbers
    const Lanes whole = scaled - 12582912.0f;
    const Lanes left = x - whole * 0.693359375f + whole * 2.12194440e-4f;  // ln 2 in two parts
    Lanes power = left * (1.0f / 720) + 1.0f / 120;
    power = power * left + 1.0f / 24;
    power = power * left + 1.0f / 6;
    power = power * left + 0.5f;
    power = power * left + 1.0f;
    power = power * left + 1.0f;
    return cast<Lanes>(cast<Integers>(power) + (cast<Integers>(scaled) << 23));
}
