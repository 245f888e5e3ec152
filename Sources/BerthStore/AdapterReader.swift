// Reading an adapter's weights: from the file into the memory that was leased for them, checked and converted on the way.
//
// One tensor at a time goes through a scratch buffer of the largest tensor's size, so a load needs little memory beside
// its destination. Runs on a disk-reader thread; touches nothing shared.

import BerthCore

extension AdapterCheckpoint {
    /// Reads every factor and writes it as `type` (f32 or bf16, rounded to nearest even) to where `destination` says:
    /// A as `[rank][inputs]`, B transposed as `[rank][outputs]`; A of an embedding as `[inputs][rank]`, so that the numbers
    /// of one token lie together. `destination` is asked once for each module (index into `modules`) and role.
    ///
    /// Throws where the file has changed since it was validated, cannot be read, holds a number that is not finite (or
    /// becomes infinite as bf16), or carries an embedding that is not the base's. What was written by then is worthless.
    public func load(as type: ElementType, destination: (_ module: Int, _ role: AdapterFactor.Role) -> UnsafeMutableRawPointer) throws(AdapterRejection) {
        precondition(type != .f16, "adapters are computed in f32 or bf16")
        var uses: [Int: [(module: Int, role: AdapterFactor.Role)]] = [:]
        for (index, module) in modules.enumerated() {
            uses[module.a.entry, default: []].append((index, .a))
            uses[module.b.entry, default: []].append((index, .b))
        }
        let file = try reopen()
        let scratch = scratchBuffer()
        defer { scratch.deallocate() }
        for (entry, uses) in uses.sorted(by: { $0.key < $1.key }) {
            let tensor = header.entries[entry]
            try read(tensor, of: file, into: scratch)
            for use in uses {
                let module = modules[use.module]
                let factor = use.role == .a ? module.a : module.b
                // Rows of the destination are the rank, but of an embedding's A the tokens.
                let isRankMajor = use.role == .a && module.kind != .embedding
                let source = isRankMajor ? factor : factor.transposed
                guard copyMatrix(source, from: UnsafeRawPointer(scratch.baseAddress!), to: destination(use.module, use.role), as: type) else {
                    throw notFinite(tensor.name)
                }
            }
        }
        for copy in copies { try compare(copy, of: file) { _ in } }
    }

    /// Reads everything and checks what only the contents can show; the answer to a request to load.
    public func verify() throws(AdapterRejection) -> Receipt {
        let file = try reopen()
        var builder = DigestBuilder()
        builder.update("berth adapter contents 1")
        do throws(StoreError) {
            builder.update(try ReadableFile.contents(of: "\(directory)/\(Self.configurationName)", limit: Limits.configurationFileBytes))
        } catch {
            throw AdapterRejection(error).at(directory)
        }
        builder.update(header.digest.bytes)
        let scratch = scratchBuffer()
        defer { scratch.deallocate() }
        let copied = Dictionary(uniqueKeysWithValues: copies.map { ($0.entry, $0) })
        for (index, entry) in header.entries.enumerated() {
            if let copy = copied[index] {
                try compare(copy, of: file) { builder.update($0) }
                continue
            }
            try read(entry, of: file, into: scratch)
            let bytes = UnsafeRawBufferPointer(rebasing: scratch[..<entry.range.count])
            guard isFinite(bytes, type: entry.type!) else { throw notFinite(entry.name) }
            builder.update(bytes)
        }
        return Receipt(
            modules: modules.count, ranks: ranks, targets: targets, parameters: parameters, fileBytes: fileBytes,
            contentDigest: builder.finish().description, warnings: warnings)
    }

    /// Throws where a number in the file is not finite.
    public func checkFinite() throws(AdapterRejection) { _ = try verify() }

    // MARK: reading

    private func reopen() throws(AdapterRejection) -> ReadableFile {
        do throws(StoreError) {
            let file = try ReadableFile(path: tensorsPath)
            guard file.identity == identity else {
                throw StoreError(.changed, "\(Self.tensorsName) has changed since the adapter was registered", path: tensorsPath)
            }
            return file
        } catch {
            throw AdapterRejection(error).at(directory)
        }
    }

    /// Room for the largest tensor that is not a copy of a base weight.
    private func scratchBuffer() -> UnsafeMutableRawBufferPointer {
        let copied = Set(copies.map(\.entry))
        let bytes = header.entries.enumerated().filter { !copied.contains($0.offset) }.map(\.element.range.count).max() ?? 0
        return .allocate(byteCount: max(bytes, 64), alignment: 64)
    }

    private func read(_ entry: SafetensorsHeader.Entry, of file: ReadableFile, into scratch: UnsafeMutableRawBufferPointer) throws(AdapterRejection) {
        do throws(StoreError) {
            try file.read(at: entry.range.lowerBound, into: UnsafeMutableRawBufferPointer(rebasing: scratch[..<entry.range.count]))
        } catch {
            throw AdapterRejection(error).at(directory)
        }
    }

    /// Walks through a copy of a base weight, showing each piece to `piece`; throws where it differs from the base.
    private func compare(_ copy: BaseCopy, of file: ReadableFile, _ piece: (UnsafeRawBufferPointer) -> Void) throws(AdapterRejection) {
        let entry = header.entries[copy.entry]
        let type = entry.type!
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
        defer { buffer.deallocate() }
        var done = 0
        while done < entry.range.count {
            let bytes = UnsafeMutableRawBufferPointer(rebasing: buffer[..<min(buffer.count, entry.range.count - done)])
            do throws(StoreError) {
                try file.read(at: entry.range.lowerBound + done, into: bytes)
            } catch {
                throw AdapterRejection(error).at(directory)
            }
            piece(UnsafeRawBufferPointer(bytes))
            if let weight = copy.weight {
                let first = done / type.bytes
                let ours = UnsafeRawBufferPointer(rebasing: weight.bytes[(first * weight.type.bytes)..<((first + bytes.count / type.bytes) * weight.type.bytes)])
                guard isCopy(UnsafeRawBufferPointer(bytes), type, of: ours, weight.type) else {
                    throw AdapterRejection(
                        entry.name, "tensor '\(entry.name)' is not the base's weight: a trained or resized embedding is not supported", path: directory)
                }
            }
            done += bytes.count
        }
    }

    private func notFinite(_ tensor: String) -> AdapterRejection {
        AdapterRejection(tensor, "tensor '\(tensor)' holds a value that is not finite", path: directory)
    }
}
