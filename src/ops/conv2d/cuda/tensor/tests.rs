//! Both passes of a convolution meet the same pixels by the same taps.

use super::*;

/// Who meets whom: (input row, input column, output row, output column, tap).
type Meeting = [i32; 5];

fn forward(geometry: &Conv2dGeometry) -> Vec<Meeting> {
    let [rows, columns] = geometry.output().map(|extent| extent as i32);
    let [height, width] = [geometry.height as i32, geometry.width as i32];
    let mut met = Vec::new();
    for (y, x) in (0..rows).flat_map(|y| (0..columns).map(move |x| (y, x))) {
        for tap in taps(geometry) {
            assert_eq!(tap.offset, tap.row * width + tap.column);
            let row = y * geometry.stride[0] as i32 + tap.row;
            let column = x * geometry.stride[1] as i32 + tap.column;
            if (0..height).contains(&row) && (0..width).contains(&column) {
                met.push([row, column, y, x, tap.weight as i32]);
            }
        }
    }
    met
}

fn backward(geometry: &Conv2dGeometry) -> Vec<Meeting> {
    let [rows, columns] = geometry.output().map(|extent| extent as i32);
    let (classes, taps) = classes(geometry);
    let (mut met, mut seen) = (Vec::new(), vec![0; geometry.height * geometry.width]);
    for class in classes {
        let own = &taps[class.first as usize..][..class.count as usize];
        for (i, j) in (0..class.rows).flat_map(|i| (0..class.columns).map(move |j| (i, j))) {
            let row = class.row + i * geometry.stride[0] as u32;
            let column = class.column + j * geometry.stride[1] as u32;
            seen[row as usize * geometry.width + column as usize] += 1;
            for tap in own {
                assert_eq!(tap.offset, tap.row * columns + tap.column);
                let (y, x) = (i as i32 + tap.row, j as i32 + tap.column);
                if (0..rows).contains(&y) && (0..columns).contains(&x) {
                    met.push([row as i32, column as i32, y, x, tap.weight as i32]);
                }
            }
        }
    }
    assert!(seen.iter().all(|times| *times == 1), "every input pixel is in one class: {seen:?}");
    met
}

/// The classes of the input gradient list the same products as the forward pass, for whatever moves the kernel.
#[test]
fn both_ways_meet_the_same_pixels() {
    let plain = Conv2dGeometry {
        batch: 1,
        height: 7,
        width: 6,
        in_channels: 8,
        out_channels: 8,
        kernel: [3, 3],
        stride: [1, 1],
        padding: [1, 1],
        dilation: [1, 1],
        groups: 1,
    };
    let geometries = [
        plain,
        Conv2dGeometry { stride: [2, 2], ..plain },
        Conv2dGeometry { stride: [3, 2], padding: [0, 2], dilation: [2, 3], ..plain },
        Conv2dGeometry { kernel: [1, 1], stride: [2, 2], padding: [0, 0], ..plain },
        Conv2dGeometry { kernel: [2, 5], stride: [1, 4], padding: [4, 3], dilation: [3, 1], ..plain },
        Conv2dGeometry { height: 1, width: 2, kernel: [1, 1], stride: [3, 3], padding: [0, 0], ..plain },
    ];
    for geometry in geometries {
        let geometry = geometry.checked().unwrap();
        let (mut forward, mut backward) = (forward(&geometry), backward(&geometry));
        forward.sort_unstable();
        backward.sort_unstable();
        assert!(!forward.is_empty());
        assert_eq!(forward, backward, "{geometry:?}");
    }
}
