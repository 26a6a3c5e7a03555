//! Zero contours of values on a raster, and dashes.

const DASH: f64 = 8.0;
const GAP: f64 = 5.0;

/// A line, whole or cut into dashes. (The raster backend would begin a dash pattern anew at every point.)
pub(super) fn pieces(points: Vec<(f64, f64)>, dashed: bool) -> Vec<Vec<(f64, f64)>> {
    if !dashed {
        return vec![points];
    }
    let mut pieces = Vec::new();
    let mut piece = points[..1].to_vec();
    let (mut on, mut left) = (true, DASH);
    for pair in points.windows(2) {
        let (mut from, to) = (pair[0], pair[1]);
        loop {
            let length = (to.0 - from.0).hypot(to.1 - from.1);
            if length <= left {
                left -= length;
                piece.push(to);
                break;
            }
            let t = left / length;
            from = (from.0 + t * (to.0 - from.0), from.1 + t * (to.1 - from.1));
            piece.push(from);
            if on {
                pieces.push(std::mem::take(&mut piece));
            }
            piece = vec![from];
            on = !on;
            left = if on { DASH } else { GAP };
        }
    }
    if on && piece.len() > 1 {
        pieces.push(piece);
    }
    pieces
}

/// The zero contour of values on a raster, by marching squares: segments joined into lines.
pub(super) fn polylines(axis: &[f64], values: &[f64]) -> Vec<Vec<(f64, f64)>> {
    let n = axis.len();
    let value = |i: usize, j: usize| values[j * n + i];
    // A crossing lies on a raster edge: (i, j, whether the edge is vertical).
    type Edge = (usize, usize, bool);
    let place = |(i, j, vertical): Edge| {
        let (a, b) = (value(i, j), if vertical { value(i, j + 1) } else { value(i + 1, j) });
        let t = a / (a - b);
        let step = axis[1] - axis[0];
        if vertical { (axis[i], axis[j] + t * step) } else { (axis[i] + t * step, axis[j]) }
    };
    let mut neighbours: std::collections::BTreeMap<Edge, Vec<Edge>> = std::collections::BTreeMap::new();
    for j in 0..n - 1 {
        for i in 0..n - 1 {
            let corners = [value(i, j), value(i + 1, j), value(i + 1, j + 1), value(i, j + 1)].map(|v| v >= 0.0);
            let edges = [(i, j, false), (i + 1, j, true), (i, j + 1, false), (i, j, true)];
            let crossed: Vec<Edge> = (0..4).filter(|k| corners[*k] != corners[(k + 1) % 4]).map(|k| edges[k]).collect();
            let pairs: &[(usize, usize)] = match crossed.len() {
                2 => &[(0, 1)],
                // A saddle: either way is as good on a fine raster.
                4 => &[(0, 1), (2, 3)],
                _ => &[],
            };
            for (a, b) in pairs {
                neighbours.entry(crossed[*a]).or_default().push(crossed[*b]);
                neighbours.entry(crossed[*b]).or_default().push(crossed[*a]);
            }
        }
    }
    // Open lines first, from one of their ends; what is left then are closed ones.
    let mut starts: Vec<Edge> = neighbours.iter().filter(|(_, next)| next.len() == 1).map(|(edge, _)| *edge).collect();
    starts.extend(neighbours.keys());
    let mut lines = Vec::new();
    for start in starts {
        let mut line = vec![place(start)];
        let mut here = start;
        while let Some(next) = neighbours.get_mut(&here).and_then(Vec::pop) {
            if let Some(back) = neighbours.get_mut(&next) {
                back.retain(|edge| *edge != here);
            }
            line.push(place(next));
            here = next;
        }
        if line.len() > 1 {
            lines.push(line);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raster(f: impl Fn(f64, f64) -> f64) -> (Vec<f64>, Vec<f64>) {
        let axis: Vec<f64> = (0..21).map(|k| -1.0 + 0.1 * f64::from(k)).collect();
        let values = axis.iter().flat_map(|y| axis.iter().map(|x| f(*x, *y)).collect::<Vec<f64>>()).collect();
        (axis, values)
    }

    #[test]
    fn contours_are_joined_and_lie_where_the_function_vanishes() {
        // A linear function: one open line, exactly.
        let (axis, values) = raster(|x, y| x + 2.0 * y - 0.13);
        let lines = polylines(&axis, &values);
        assert_eq!(lines.len(), 1);
        assert!(lines[0].iter().all(|(x, y)| (x + 2.0 * y - 0.13).abs() < 1e-12));
        assert!(lines[0].len() > 20);
        // A circle: one closed line; linear interpolation errs by h²/8 of a second derivative of 2.
        let (axis, values) = raster(|x, y| x * x + y * y - 0.5);
        let lines = polylines(&axis, &values);
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].first(), lines[0].last());
        assert!(lines[0].iter().all(|(x, y)| (x * x + y * y - 0.5).abs() < 0.0026));
        assert!(polylines(&axis, &vec![1.0; axis.len() * axis.len()]).is_empty());
    }

    #[test]
    fn dashes_have_their_lengths_whatever_the_spacing_of_the_points() {
        let points: Vec<(f64, f64)> = (0..=40).map(|k| (f64::from(k), 0.0)).collect();
        let cut = pieces(points.clone(), true);
        let ends: Vec<(f64, f64)> = cut.iter().map(|piece| (piece[0].0, piece[piece.len() - 1].0)).collect();
        assert_eq!(ends, [(0.0, 8.0), (13.0, 21.0), (26.0, 34.0), (39.0, 40.0)]);
        let sparse = pieces(vec![(0.0, 0.0), (40.0, 0.0)], true);
        assert_eq!(sparse.len(), 4);
        assert_eq!(pieces(points.clone(), false), [points]);
    }
}
