// The decode step of a Llama-like decoder on a CPU: a few tokens of some texts through all layers, in one parallel region.
// Weights, keys and values are torch's own tensors; all between is float32. native_step.py has the same structs.

#include <omp.h>

#include <cmath>
#include <new>
#include <vector>

#include "matrix.h"

namespace {

struct Layer {
    const Bfloat *attention_norm, *feed_norm;
    Matrix qkv, out, gate_up, down;
};

struct Model {
    int64_t layers, hidden, inner, heads, kv_heads, size, capacity, threads;
    double epsilon;
    const Layer* layer;
    Matrix embedding, head;
    const Bfloat *norm, *cos, *sin;  // rotary tables of shape (capacity, size)
};

// The next `rows` tokens of a text, after `start` others; its keys and values for each layer.
struct Text {
    int64_t rows, start;
    Bfloat *const *keys, *const *values;
};

// An allocator aligned to cache lines: loads that touch two lines take twice as long.
template <class Number>
struct Aligned {
    using value_type = Number;
    static constexpr auto line = std::align_val_t(64);
    Number* allocate(size_t count) { return static_cast<Number*>(::operator new(count * sizeof(Number), line)); }
    void deallocate(Number* numbers, size_t) { ::operator delete(numbers, line); }
    bool operator==(const Aligned&) const { return true; }
    bool operator!=(const Aligned&) const { return false; }
};

using Floats = std::vector<float, Aligned<float>>;

// Buffers that all threads read and write, each its part between two barriers.
struct Shared {
    Floats x, qkv, inner, partial, largest, total;
};

// Buffers of one thread.
struct Own {
    Floats input, sums, key, scores;
};

// Keys and values of one head for tokens `begin` to `end`; the tokens from `start` on, rows from `first` on, look at them.
struct Span {
    const Bfloat *keys, *values;
    int64_t begin, end, start, first;
};

class Step {
   public:
    explicit Step(const Model& model) : model_(model), own_(model.threads) {
        const auto& m = model_;
        const int64_t queries = m.heads * m.size, widest = std::max({m.hidden, m.inner, queries});
        shared_.x.resize(MAX_ROWS * m.hidden);
        shared_.qkv.resize(MAX_ROWS * units(queries + 2 * m.kv_heads * m.size) * UNIT);
        shared_.inner.resize(MAX_ROWS * m.inner);
        shared_.partial.resize(m.threads * MAX_ROWS * queries);
        shared_.largest.resize(m.threads * MAX_ROWS * m.heads);
        shared_.total.resize(m.threads * MAX_ROWS * m.heads);
        for (auto& own : own_) {
            own.input.resize(MAX_ROWS * widest);
            own.sums.resize(MAX_ROWS * widest / GROUP);
            own.key.resize(m.size);
            own.scores.resize(4 * (m.capacity / m.threads / WIDTH + 2) * WIDTH);
        }
    }

    // Runs the `ids` of all texts, one after the other; writes the `logits` of the last rows, shape (rows - from, stride).
    void run(const int64_t* ids, const Text* texts, int64_t count, int64_t from, float* logits, int64_t stride) {
        rows_ = 0;
        for (int64_t text = 0; text < count; ++text) rows_ += texts[text].rows;
#pragma omp parallel num_threads(model_.threads)
        {
            const int64_t thread = omp_get_thread_num(), threads = omp_get_num_threads();
            Own& own = own_[thread];
            embed(ids, thread, threads);
#pragma omp barrier
            for (int64_t number = 0; number < model_.layers; ++number) {
                const Layer& layer = model_.layer[number];
                project(layer, own, thread, threads);
#pragma omp barrier
                for (int64_t text = 0, first = 0; text < count; first += texts[text++].rows)
                    attend(texts[text], number, first, own, thread, threads);
#pragma omp barrier
                gather(own, threads);
                add(layer.out, own.input.data(), own, thread, threads);
#pragma omp barrier
                gate(layer, own, thread, threads);
#pragma omp barrier
                add(layer.down, shared_.inner.data(), own, thread, threads);
#pragma omp barrier
            }
            normalize(model_.norm, own, from);
            apply(model_.head, own.input.data(), rows_ - from, own, 0, units(model_.head.outs), thread, threads,
                  [&](int64_t row, int64_t n, Lanes lanes) { store(logits + row * stride + n, lanes); });
        }
    }

   private:
    const Model model_;
    Shared shared_;
    std::vector<Own> own_;
    int64_t rows_ = 0;

    // Computes this thread's part of units `first` to `last` of a product.
    template <class Write>
    static void apply(const Matrix& m, const float* x, int64_t rows, Own& own, int64_t first, int64_t last, int64_t thread,
                      int64_t threads, Write write) {
        const int64_t count = last - first;
        sum_groups(m, x, rows, own.sums.data());
        multiply(m, x, own.sums.data(), rows, first + count * thread / threads, first + count * (thread + 1) / threads,
                 write);
    }

    void embed(const int64_t* ids, int64_t thread, int64_t threads) {
        const Matrix& table = model_.embedding;
        for (int64_t row = thread; row < rows_; row += threads)
            for (int64_t k = 0; k < model_.hidden; k += WIDTH) {
                const int64_t at = ids[row] * model_.hidden + k;
                const Lanes lanes = table.kind == INT8 ? load(static_cast<const int8_t*>(table.weight) + at) *
                                                             number(table.scales[ids[row]])
                                                       : load(static_cast<const Bfloat*>(table.weight) + at);
                store(&shared_.x[row * model_.hidden + k], lanes);
            }
    }

    void normalize(const Bfloat* weight, Own& own, int64_t from = 0) {
        for (int64_t row = from; row < rows_; ++row) {
            const float* x = &shared_.x[row * model_.hidden];
            float* to = &own.input[(row - from) * model_.hidden];
            Lanes squares = {};
            for (int64_t k = 0; k < model_.hidden; k += WIDTH) squares += load(x + k) * load(x + k);
            const float scale = 1.0f / std::sqrt(sum(squares) / float(model_.hidden) + float(model_.epsilon));
            for (int64_t k = 0; k < model_.hidden; k += WIDTH) store(to + k, load(x + k) * scale * load(weight + k));
        }
    }

    void project(const Layer& layer, Own& own, int64_t thread, int64_t threads) {
        const int64_t width = units(layer.qkv.outs) * UNIT;
        normalize(layer.attention_norm, own);
        apply(layer.qkv, own.input.data(), rows_, own, 0, units(layer.qkv.outs), thread, threads,
              [&](int64_t row, int64_t n, Lanes lanes) { store(&shared_.qkv[row * width + n], lanes); });
    }

    // Attends over this thread's share of the tokens of a text, and writes their new keys and values; `first` is the
    // index of the text's first row among all.
    void attend(const Text& text, int64_t layer, int64_t first, Own& own, int64_t thread, int64_t threads) {
        const auto& m = model_;
        const int64_t size = m.size, shared = m.heads / m.kv_heads, queries = text.rows * shared;
        const int64_t width = units((m.heads + 2 * m.kv_heads) * size) * UNIT;
        const int64_t end = text.start + text.rows, begin = end * thread / threads, until = end * (thread + 1) / threads;
        for (int64_t kv_head = 0; kv_head < m.kv_heads; ++kv_head) {
            Bfloat* head_keys = text.keys[layer] + kv_head * m.capacity * size;
            Bfloat* head_values = text.values[layer] + kv_head * m.capacity * size;
            for (int64_t row = 0; row < text.rows; ++row) {
                const float* qkv = &shared_.qkv[(first + row) * width];
                const int64_t token = text.start + row;
                for (int64_t i = 0; i < shared; ++i)
                    rotate(qkv + (kv_head * shared + i) * size, token, &own.input[(row * shared + i) * size]);
                if (token < begin || token >= until) continue;
                rotate(qkv + (m.heads + kv_head) * size, token, own.key.data());
                for (int64_t i = 0; i < size; ++i) {
                    head_keys[token * size + i] = rounded(own.key[i]);
                    head_values[token * size + i] = rounded(qkv[(m.heads + m.kv_heads + kv_head) * size + i]);
                }
            }
            const Span span{head_keys + begin * size, head_values + begin * size, begin, until, text.start, first};
            for (int64_t query = 0; query < queries; query += 4) switch (queries - query) {
                    case 1: look<1>(span, own, thread, kv_head, query); break;
                    case 2: look<2>(span, own, thread, kv_head, query); break;
                    case 3: look<3>(span, own, thread, kv_head, query); break;
                    default: look<4>(span, own, thread, kv_head, query);
                }
        }
    }

    // Applies rotary embedding (Su et al. 2021, arXiv:2104.09864), by halves.
    void rotate(const float* x, int64_t position, float* to) const {
        const int64_t half = model_.size / 2;
        const Bfloat *cos = model_.cos + position * model_.size, *sin = model_.sin + position * model_.size;
        for (int64_t i = 0; i < half; ++i) {
            to[i] = x[i] * number(cos[i]) - x[i + half] * number(sin[i]);
            to[i + half] = x[i + half] * number(cos[i + half]) + x[i] * number(sin[i + half]);
        }
    }

    // Sums a span's values for COUNT queries of a key/value head, from `query` on, and their weights: e to the power of
    // each score less the largest.
    template <int COUNT>
    void look(const Span& span, Own& own, int64_t thread, int64_t kv_head, int64_t query) {
        const int64_t size = model_.size, shared = model_.heads / model_.kv_heads, room = own.scores.size() / 4;
        const float *queries = own.input.data() + query * size, scale = 1.0f / std::sqrt(float(size));
        int64_t seen[COUNT], place[COUNT];
        for (int q = 0; q < COUNT; ++q) {
            const int64_t row = (query + q) / shared;
            seen[q] = std::max<int64_t>(0, std::min(span.end, span.start + row + 1) - span.begin);
            place[q] = place_of(thread, span.first + row, kv_head * shared + (query + q) % shared);
        }
        const int64_t longest = seen[COUNT - 1];
        for (int64_t t = 0; t < longest; t += 4) {
            Lanes dot[COUNT][4] = {};
            for (int64_t i = 0; i < size; i += WIDTH)
                for (int k = 0; k < 4; ++k) {
                    const Lanes key = load(span.keys + std::min(t + k, longest - 1) * size + i);
                    for (int q = 0; q < COUNT; ++q) dot[q][k] += load(queries + q * size + i) * key;
                }
            for (int q = 0; q < COUNT; ++q) store(&own.scores[q * room + t], sums(dot[q]) * scale);
        }
        for (int q = 0; q < COUNT; ++q) {
            float* scores = &own.scores[q * room];
            std::fill(scores + seen[q], scores + (longest + WIDTH - 1) / WIDTH * WIDTH, -INFINITY);
            Lanes most = Lanes{} - INFINITY, total = {};
            for (int64_t t = 0; t < seen[q]; t += WIDTH) most = load(scores + t) > most ? load(scores + t) : most;
            shared_.largest[place[q]] = largest(most);
            for (int64_t t = 0; t < seen[q]; t += WIDTH) {
                const Lanes power = exponential(load(scores + t) - shared_.largest[place[q]]);
                store(scores + t, power);
                total += power;
            }
            std::fill(scores + seen[q], scores + longest, 0.0f);
            shared_.total[place[q]] = sum(total);
        }
        for (int64_t i = 0; i < size; i += WIDTH) {
            Lanes lanes[COUNT][2] = {};  // two, because a sum waits for the one before
            for (int64_t t = 0; t < longest; ++t) {
                const Lanes value = load(span.values + t * size + i);
                for (int q = 0; q < COUNT; ++q) lanes[q][t % 2] += own.scores[q * room + t] * value;
            }
            for (int q = 0; q < COUNT; ++q) store(&shared_.partial[place[q] * size + i], lanes[q][0] + lanes[q][1]);
        }
    }

    // Returns the index of a thread's result for a row and a head.
    int64_t place_of(int64_t thread, int64_t row, int64_t head) const {
        return (thread * MAX_ROWS + row) * model_.heads + head;
    }

    // Merges the results of all threads: this thread's input becomes the output of attention.
    void gather(Own& own, int64_t threads) {
        const auto& m = model_;
        for (int64_t row = 0; row < rows_; ++row)
            for (int64_t head = 0; head < m.heads; ++head) {
                float most = -INFINITY, total = 0;
                for (int64_t thread = 0; thread < threads; ++thread)
                    most = std::max(most, shared_.largest[place_of(thread, row, head)]);
                float* to = &own.input[(row * m.heads + head) * m.size];
                std::fill(to, to + m.size, 0.0f);
                for (int64_t thread = 0; thread < threads; ++thread) {
                    const int64_t place = place_of(thread, row, head);
                    const float weight = std::exp(shared_.largest[place] - most);
                    total += weight * shared_.total[place];
                    for (int64_t i = 0; i < m.size; i += WIDTH)
                        store(to + i, load(to + i) + weight * load(&shared_.partial[place * m.size + i]));
                }
                for (int64_t i = 0; i < m.size; i += WIDTH) store(to + i, load(to + i) * (1.0f / total));
            }
    }

    void add(const Matrix& m, const float* x, Own& own, int64_t thread, int64_t threads) {
        apply(m, x, rows_, own, 0, units(m.outs), thread, threads, [&](int64_t row, int64_t n, Lanes lanes) {
            float* to = &shared_.x[row * m.outs + n];
            store(to, load(to) + lanes);
        });
    }

    void gate(const Layer& layer, Own& own, int64_t thread, int64_t threads) {
        const int64_t inner = model_.inner, half = units(inner);
        normalize(layer.feed_norm, own);
        apply(layer.gate_up, own.input.data(), rows_, own, 0, half, thread, threads,
              [&](int64_t row, int64_t n, Lanes gate) {
                  store(&shared_.inner[row * inner + n], gate / (1.0f + exponential(-gate)));
              });
        apply(layer.gate_up, own.input.data(), rows_, own, half, 2 * half, thread, threads,
              [&](int64_t row, int64_t n, Lanes up) {
                  float* to = &shared_.inner[row * inner + n - inner];
                  store(to, load(to) * up);
              });
    }
};

}  // namespace

extern "C" {

Step* shardline_open(const Model* model) { return new Step(*model); }

void shardline_close(Step* step) { delete step; }

void shardline_run(Step* step, const int64_t* ids, const Text* texts, int64_t count, int64_t from, float* logits,
                   int64_t stride) {
    step->run(ids, texts, count, from, logits, stride);
}
}
