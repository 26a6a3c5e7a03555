//! The allocator of arrays: a program that has it works as any other, its arrays begin at cache lines, and it asks for huge pages.

use perturbation_learning::memory::ArrayAllocator;

#[global_allocator]
static ALLOCATOR: ArrayAllocator = ArrayAllocator;

/// Numbers that take 32 MiB, from where on memory is large.
const LARGE: usize = 1 << 22;

#[test]
fn arrays_hold_what_they_should() {
    for len in [1, LARGE - 1, LARGE, LARGE + 1, 2 * LARGE + 3] {
        assert!(vec![0.0_f64; len].iter().all(|x| *x == 0.0));
        let full = vec![1.5_f64; len];
        assert!(full.iter().all(|x| *x == 1.5));
        // Grown and shrunk across the limit.
        let mut grown: Vec<usize> = Vec::new();
        (0..len).for_each(|i| grown.push(i));
        assert!(grown.iter().enumerate().all(|(i, x)| i == *x));
        grown.truncate(len / 2);
        grown.shrink_to_fit();
        assert!(grown.iter().enumerate().all(|(i, x)| i == *x));
    }
}

/// Also where the system gives the start of memory as it likes: with every multiple of 16 bytes.
#[test]
fn arrays_begin_at_cache_lines() {
    let between: Vec<Vec<u8>> = (1..200).map(|len| vec![1; 16 * len]).collect();
    let arrays: Vec<Vec<f32>> = (0..200).map(|len| vec![1.0; 128 + 3 * len]).collect();
    assert!(arrays.iter().all(|array| array.as_ptr().addr() % 64 == 0));
    assert!(between.iter().any(|array| array.as_ptr().addr() % 64 != 0), "small memory is left as it is");
}

/// The mapping that holds a large array is marked as one that wants huge pages.
#[cfg(target_os = "linux")]
#[test]
fn huge_pages_are_asked_for() {
    let asked = |array: &[f64]| {
        let middle = std::ptr::from_ref(&array[array.len() / 2]).addr();
        let mappings = std::fs::read_to_string("/proc/self/smaps").expect("the kernel's list of mappings");
        let mut within = false;
        for line in mappings.lines() {
            if let Some(flags) = line.strip_prefix("VmFlags:").filter(|_| within) {
                return flags.split_whitespace().any(|flag| flag == "hg");
            }
            let range = line.split(' ').next().and_then(|range| range.split_once('-'));
            let ends =
                range.and_then(|(a, b)| Some((usize::from_str_radix(a, 16).ok()?, usize::from_str_radix(b, 16).ok()?)));
            within = ends.map_or(within, |(start, end)| (start..end).contains(&middle));
        }
        panic!("no mapping holds {middle:x}");
    };
    if !std::path::Path::new("/sys/kernel/mm/transparent_hugepage/enabled").exists() {
        eprintln!("this kernel has no huge pages: nothing to test");
        return;
    }
    assert!(asked(&vec![1.0; 2 * LARGE]));
}
