// Helpers of the store's tests: folders that go away, a writer of safetensors files (also of broken ones), small models.

import BerthCore
import Glibc
import Testing

@testable import BerthStore

/// A folder that is removed with everything in it when the value goes.
final class TemporaryFolder {
    let path: String

    init() {
        var template = Array("/tmp/berth-store-XXXXXX".utf8CString)
        path = String(cString: mkdtemp(&template)!)
    }

    deinit { removeTree(path) }

    func file(_ name: String) -> String { "\(path)/\(name)" }

    @discardableResult func write(_ name: String, _ bytes: [UInt8]) -> String {
        writeFile(file(name), bytes)
        return file(name)
    }

    @discardableResult func write(_ name: String, _ text: String) -> String { write(name, Array(text.utf8)) }

    func folder(_ name: String) -> String {
        mkdir(file(name), 0o755)
        return file(name)
    }
}

func removeTree(_ path: String) {
    guard let stream = opendir(path) else { return }
    while let entry = readdir(stream) {
        let name = withUnsafePointer(to: &entry.pointee.d_name) { $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) } }
        if name == "." || name == ".." { continue }
        var status = stat()
        lstat("\(path)/\(name)", &status)
        if status.st_mode & S_IFMT == S_IFDIR { removeTree("\(path)/\(name)") } else { unlink("\(path)/\(name)") }
    }
    closedir(stream)
    rmdir(path)
}

func writeFile(_ path: String, _ bytes: [UInt8]) {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    precondition(descriptor >= 0, "cannot write \(path)")
    precondition(write(descriptor, bytes, bytes.count) == bytes.count)
    close(descriptor)
}

func fixture(_ name: String) -> String {
    String(#filePath.prefix(upTo: #filePath.lastIndex(of: "/")!)) + "/Fixtures/" + name
}

/// The reference checkpoints beside the repository, where this machine has them.
let sharedModels: String? = {
    var root = #filePath
    for _ in 0..<3 { root = String(root.prefix(upTo: root.lastIndex(of: "/")!)) }
    let path = root + "/../shared/models"
    return access(path, R_OK) == 0 ? path : nil
}()

/// A tensor to write.
struct TestTensor {
    var name: String
    var dtype = "F32"
    var shape: [Int]
    var bytes: [UInt8]

    /// An f32 tensor; without values, small ones that differ.
    init(_ name: String, _ shape: [Int], _ values: [Float]? = nil) {
        self.name = name
        self.shape = shape
        let count = shape.reduce(1, *)
        let shift = name.utf8.count * 3
        let numbers: [Float] = values ?? (0..<count).map { index in Float((index * 7 + shift) % 23) / 8 - 1 }
        precondition(numbers.count == count)
        bytes = numbers.flatMap { withUnsafeBytes(of: $0.bitPattern.littleEndian, Array.init) }
    }

    init(_ name: String, dtype: String, _ shape: [Int], bytes: [UInt8]) {
        self.name = name
        self.dtype = dtype
        self.shape = shape
        self.bytes = bytes
    }
}

/// The bytes of a safetensors file with exactly this header text.
func safetensors(header: String, data: [UInt8]) -> [UInt8] {
    let json = Array(header.utf8)
    return withUnsafeBytes(of: UInt64(json.count).littleEndian, Array.init) + json + data
}

/// The bytes of a valid safetensors file.
func safetensors(_ tensors: [TestTensor], metadata: String? = nil) -> [UInt8] {
    var members: [String] = metadata.map { ["\"__metadata__\":\($0)"] } ?? []
    var data: [UInt8] = []
    for tensor in tensors {
        members.append(
            "\(JSON.string(tensor.name).text):{\"dtype\":\"\(tensor.dtype)\",\"shape\":\(tensor.shape),\"data_offsets\":[\(data.count),\(data.count + tensor.bytes.count)]}")
        data += tensor.bytes
    }
    return safetensors(header: "{\(members.joined(separator: ","))}", data: data)
}

extension TensorView {
    /// The numbers of an f32 tensor.
    var floats: [Float] {
        precondition(type == .f32)
        return (0..<count).map { Float(bitPattern: bytes.loadUnaligned(fromByteOffset: $0 * 4, as: UInt32.self)) }
    }
}

/// The error of `body`, which must throw.
func failure<T, E: Error>(_ body: () throws(E) -> T, _ location: SourceLocation = #_sourceLocation) -> E? {
    do throws(E) {
        _ = try body()
        Issue.record("no error was thrown", sourceLocation: location)
        return nil
    } catch {
        return error
    }
}
