// The memory of an image's resident extents: one region, in huge pages where the system gives them.
//
// Anonymous memory is asked to be huge pages, since weights are read from end to end for every token and address
// translation shows. Mapping the image file instead takes milliseconds where filling anonymous memory takes half a second
// per GB (in virtual machines mostly for the faults), and shares the page cache with the next start; how large its pages are
// is the file system's choice.

import CLinux
import Glibc

/// A region of memory that goes with the value. Sendable because whoever fills it hands it over afterwards.
final class ImageMemory: @unchecked Sendable {
    let base: UnsafeMutableRawPointer
    let bytes: Int
    private let mapping: UnsafeMutableRawPointer
    private let mappingBytes: Int

    /// Zeroed anonymous memory, aligned to a huge page.
    init(bytes: Int) throws(StoreError) {
        let hugePage = 2 << 20
        self.bytes = bytes
        mappingBytes = bytes + hugePage
        guard let mapping = mmap(nil, mappingBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0), mapping != MAP_FAILED else {
            throw .system(.io, "cannot get \(bytes) bytes of memory", path: nil)
        }
        self.mapping = mapping
        base = UnsafeMutableRawPointer(bitPattern: (UInt(bitPattern: mapping) + UInt(hugePage) - 1) / UInt(hugePage) * UInt(hugePage))!
        madvise(base, bytes, MADV_HUGEPAGE)
    }

    /// The whole of a file, read-only.
    init(mapping file: ReadableFile) throws(StoreError) {
        bytes = file.bytes
        mappingBytes = file.bytes
        guard let mapping = mmap(nil, file.bytes, PROT_READ, MAP_SHARED, file.descriptor, 0), mapping != MAP_FAILED else {
            throw .system(.io, "cannot map the image", path: file.path)
        }
        self.mapping = mapping
        base = mapping
        madvise(mapping, file.bytes, MADV_HUGEPAGE)
    }

    /// Has the pages of a range of a mapped file read and entered into the page tables, which is cheaper than a fault each.
    func populate(_ range: Range<Int>) {
        // MADV_POPULATE_READ, Linux 5.14; older kernels refuse, and the pages come one by one.
        madvise(base + range.lowerBound, range.count, 22)
    }

    deinit { munmap(mapping, mappingBytes) }
}

/// Runs `body(0)` to `body(threads - 1)`, each on a thread of its own, and returns when all are done. For reading files at
/// start, when the compute pool may not exist yet.
func onThreads(_ threads: Int, _ body: @escaping @Sendable (Int) -> Void) {
    final class Work: Sendable {
        let index: Int
        let body: @Sendable (Int) -> Void
        init(_ index: Int, _ body: @escaping @Sendable (Int) -> Void) {
            self.index = index
            self.body = body
        }
    }
    var handles: [pthread_t] = []
    var rest = [0]
    for index in 1..<max(threads, 1) {
        var handle = pthread_t()
        let work = Unmanaged.passRetained(Work(index, body))
        let result = pthread_create(
            &handle, nil,
            { argument in
                let work = Unmanaged<Work>.fromOpaque(argument!).takeRetainedValue()
                linux_name_thread("berth-packer")
                work.body(work.index)
                return nil
            }, work.toOpaque())
        if result == 0 {
            handles.append(handle)
        } else {
            // No more threads to be had: do that part here.
            work.release()
            rest.append(index)
        }
    }
    for index in rest { body(index) }
    for handle in handles { pthread_join(handle, nil) }
}
