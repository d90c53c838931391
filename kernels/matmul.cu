// Products of matrices in float32, one or a batch of them:
//
//   y[g, m, n] = sum over k of a[g, m, k] * b[g, k, n],  or added up over g: y[m, n]
//
// A factor is read through strides: transposed or not, one for all of the batch (stride 0) or one for each. One of its two
// strides is 1; runs of four go along that axis, by 16 bytes where extents allow, and are turned on the way into shared
// memory if the axis is the depth.
//
// Tiles of 64 x 64 (conv.cuh); of 256 x 4 where a side is that short, as in products with vectors: they read each factor
// once, at the speed of memory. Where few tiles have many summands, these are cut into chunks by shape alone: partial
// results [chunks, G, M, N], which conv_sum_f32 adds up in order.
#include "conv.cuh"

// `Matmul` of src/ops/matmul/cuda.rs.
struct Factor {
    u32 batch, outer, inner;  // strides: from matrix to matrix, along the result, along the depth
    u32 turned;               // runs of four go along the depth
    u32 whole;                // and are whole, at multiples of 16 bytes
};
struct Matmul {
    u32 groups, added;         // results, and products added up in each; one of them is 1
    u32 rows, columns, depth;  // M, N, K
    Factor a, b;
    u32 y_row, y_column;  // strides of the result, one of which is 1; for tiles of 64 x 64 the second
    u32 y_whole;          // its runs of four are whole
    u32 tiles_down, tiles_across;
    u32 slices, slices_per_chunk;  // slices of all products of a result; of a chunk
};

// One factor's part in a slice.
template <class TILE, u32 EXTENT>
struct Side {
    static constexpr u32 COUNT = TILE::fours(EXTENT);
    using Across = Turned<TILE, EXTENT>;
    using Along = Straight<TILE, EXTENT>;
    Pack<float> four[COUNT];

    DEVICE void load(const float* from, const Factor& factor, u32 first, u32 extent, u32 start, u32 depth) {
#pragma unroll
        for (u32 index = 0; index < COUNT; index++) {
            u32 count = 0, row, at;
            if (factor.turned) {
                Across place(index);
                row = first + place.row;
                at = start + place.depth;
                if (place.exists && row < extent) count = rest(depth, at);
            } else {
                Along place(index);
                row = first + place.row;
                at = start + place.depth;
                if (place.exists && at < depth) count = rest(extent, row);
            }
            if (count == 0) row = at = 0;
            four[index] = load_four(from + (size_t(row) * factor.outer + size_t(at) * factor.inner), count, factor.whole);
        }
    }

    template <u32 WIDTH>
    DEVICE void store(float (*slice)[WIDTH], const Factor& factor) const {
#pragma unroll
        for (u32 index = 0; index < COUNT; index++) {
            if (factor.turned) {
                Across place(index);
                if (place.exists) store_turned(slice, place.row, place.depth, four[index]);
            } else {
                Along place(index);
                if (place.exists) store_pack(&slice[place.depth][place.row], four[index]);
            }
        }
    }
};

template <class TILE>
struct Products {
    const Matmul& shape;
    const float *a, *b;
    u32 first_row, first_column;
    u32 slice, end, start;  // the slice at hand, the chunk's end, the slice's first summand
    Side<TILE, TILE::ROWS> left;
    Side<TILE, TILE::COLUMNS> right;

    DEVICE bool more() const { return slice < end; }
    DEVICE void load() {
        left.load(a, shape.a, first_row, shape.rows, start, shape.depth);
        right.load(b, shape.b, first_column, shape.columns, start, shape.depth);
    }
    DEVICE void store(Slice<TILE>& to) const {
        left.store(to.a, shape.a);
        right.store(to.b, shape.b);
    }
    DEVICE void next() {
        slice++;
        start += TILE::DEPTH;
        if (start >= shape.depth) {
            start = 0;
            a += shape.a.batch;
            b += shape.b.batch;
        }
    }
};

// Grid: tiles across, tiles down, results, chunks, the first fastest.
template <class TILE>
DEVICE void matmul(const float* a, const float* b, float* y, const Matmul& shape) {
    __shared__ Slice<TILE> slices[2];
    u32 tile = blockIdx.x / shape.tiles_across, result = tile / shape.tiles_down, chunk = result / shape.groups;
    u32 group = result % shape.groups, per_product = (shape.depth + TILE::DEPTH - 1) / TILE::DEPTH;
    u32 slice = chunk * shape.slices_per_chunk, batch = group + slice / per_product;
    Products<TILE> products{shape,
                            a + size_t(batch) * shape.a.batch,
                            b + size_t(batch) * shape.b.batch,
                            tile % shape.tiles_down * TILE::ROWS,
                            blockIdx.x % shape.tiles_across * TILE::COLUMNS,
                            slice,
                            min(slice + shape.slices_per_chunk, shape.slices),
                            slice % per_product * TILE::DEPTH};
    float sum[TILE::TALL][TILE::WIDE];
    multiply_all<TILE>(products, sum, slices);

    y += size_t(result) * shape.rows * shape.columns;
#pragma unroll
    for (u32 i = 0; i < TILE::TALL; i += 4) {
#pragma unroll
        for (u32 j = 0; j < TILE::WIDE; j += 4) {
            u32 row = products.first_row + TILE::row(i), column = products.first_column + TILE::column(j);
            bool across = TILE::COLUMNS > 4 || shape.y_column == 1;
#pragma unroll
            for (u32 line = 0; line < 4; line++) {
                u32 r = across ? row + line : row, c = across ? column : column + line;
                u32 count = across ? rest(shape.columns, c) : rest(shape.rows, r);
                if (r >= shape.rows || c >= shape.columns) continue;
                Pack<float> four;
#pragma unroll
                for (u32 lane = 0; lane < 4; lane++) {
                    four.at[lane] = across ? sum[i + line][j + lane] : sum[i + lane][j + line];
                }
                store_four(y + (size_t(r) * shape.y_row + size_t(c) * shape.y_column), four, count, shape.y_whole);
            }
        }
    }
}

KERNEL(matmul_f32, 256)(const float* a, const float* b, float* y, Matmul shape) {
    matmul<Tile<64, 64, 16, 4, 4>>(a, b, y, shape);
}
KERNEL(matmul_narrow_f32, 64)(const float* a, const float* b, float* y, Matmul shape) {
    matmul<Tile<256, 4, 8, 4, 4>>(a, b, y, shape);
}
