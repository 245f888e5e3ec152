// Reading an adapter's weights: from the file into the memory that was leased for them, checked and converted on the way.
//
// One tensor at a time goes through a scratch buffer of the largest tensor's size, so a load needs little memory beside
// its destination. Runs on a disk-reader thread; touches nothing shared.

import BerthCore

extension AdapterCheckpoint {
    /// Reads every factor and writes it as `type` (f32 or f16, rounded to nearest even) to where `destination` says:
    /// A as `[rank][inputs]`, B transposed as `[rank][outputs]`; A of an embedding as `[inputs][rank]`, so that the numbers
    /// of one token lie together. `destination` is asked once for each module (index into `modules`) and role.
    ///
    /// Throws where the file has changed since it was validated, cannot be read, holds a number that is not finite (or
    /// becomes infinite as f16), or carries an embedding that is not the base's. What was written by then is worthless.
    public func load(as type: ElementType, destination: (_ module: Int, _ role: AdapterFactor.Role) -> UnsafeMutableRawPointer) throws(AdapterRejection) {
        precondition(type != .bf16, "adapters are computed in f32 or f16")
        struct Use {
            let module: Int, role: AdapterFactor.Role, factor: AdapterFactor
        }
        let uses = modules.enumerated().flatMap { index, module in
            [Use(module: index, role: .a, factor: module.a), Use(module: index, role: .b, factor: module.b)]
        }.sorted { $0.factor.range.lowerBound < $1.factor.range.lowerBound }
        let file = try reopen()
        let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: uses.map(\.factor.range.count).max() ?? 0, alignment: 64)
        defer { scratch.deallocate() }
        var loaded: Int?
        for use in uses {
            // Experts that were fused share a tensor, and it is read once.
            if loaded != use.factor.entry { try read(use.factor.range, of: file, into: scratch) }
            loaded = use.factor.entry
            // Rows of the destination are the rank, but of an embedding's A the tokens.
            let isRankMajor = use.role == .a && modules[use.module].kind != .embedding
            let source = isRankMajor ? use.factor : use.factor.transposed
            guard copyMatrix(source, from: UnsafeRawPointer(scratch.baseAddress!), to: destination(use.module, use.role), as: type) else {
                let bytes = UnsafeRawBufferPointer(rebasing: scratch[..<use.factor.range.count])
                throw notFinite(tensorName(use.factor.entry, in: file), bytes, use.factor.type, as: type)
            }
        }
        for copy in copies { try compare(copy, of: file) { _ in } }
        try checkUnchanged(file)
    }

    /// Reads everything, checks what only the contents can show, and names the contents.
    public func verify() throws(AdapterRejection) -> Receipt {
        let file = try reopen()
        var builder = DigestBuilder()
        builder.update("berth adapter contents 1")
        do throws(StoreError) {
            builder.update(try ReadableFile.contents(of: "\(directory)/\(Self.configurationName)", limit: Limits.configurationFileBytes))
        } catch {
            throw AdapterRejection(error).at(directory)
        }
        let header: SafetensorsHeader
        do throws(StoreError) {
            header = try SafetensorsHeader(of: file)
        } catch {
            throw AdapterRejection(error).at(directory)
        }
        builder.update(header.digest.bytes)
        try walk(file, header, as: .f32) { builder.update($0) }
        return Receipt(
            modules: modules.count, ranks: ranks, targets: targets, parameters: parameters, fileBytes: fileBytes,
            contentDigest: builder.finish().description, warnings: warnings)
    }

    /// Reads everything and throws what `load` as `type` would throw: a number that is not finite, or is not as `type`; an embedding that is not
    /// the base's.
    public func check(as type: ElementType) throws(AdapterRejection) {
        let file = try reopen()
        let header: SafetensorsHeader
        do throws(StoreError) {
            header = try SafetensorsHeader(of: file)
        } catch {
            throw AdapterRejection(error).at(directory)
        }
        try walk(file, header, as: type) { _ in }
    }

    /// Shows the bytes of every tensor to `piece`, checked.
    private func walk(
        _ file: ReadableFile, _ header: SafetensorsHeader, as type: ElementType, _ piece: (UnsafeRawBufferPointer) -> Void
    ) throws(AdapterRejection) {
        let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: header.entries.map(\.range.count).max() ?? 0, alignment: 64)
        defer { scratch.deallocate() }
        let copied = Dictionary(uniqueKeysWithValues: copies.map { ($0.entry, $0) })
        for (index, entry) in header.entries.enumerated() {
            if let copy = copied[index] {
                try compare(copy, of: file, piece)
                continue
            }
            try read(entry.range, of: file, into: scratch)
            let bytes = UnsafeRawBufferPointer(rebasing: scratch[..<entry.range.count])
            guard isFinite(bytes, type: entry.type!, as: type) else { throw notFinite(entry.name, bytes, entry.type!, as: type) }
            piece(bytes)
        }
        try checkUnchanged(file)
    }

    // MARK: reading

    private func reopen() throws(AdapterRejection) -> ReadableFile {
        do throws(StoreError) {
            let file = try ReadableFile(path: tensorsPath)
            guard file.identity == stamp.tensors else { throw changed(Self.tensorsName) }
            // Rank and scale were taken from it.
            guard ReadableFile.Identity(at: "\(directory)/\(Self.configurationName)") == stamp.configuration else { throw changed(Self.configurationName) }
            return file
        } catch {
            throw AdapterRejection(error).at(directory)
        }
    }

    /// What was read is one version only where nobody wrote meanwhile.
    private func checkUnchanged(_ file: ReadableFile) throws(AdapterRejection) {
        guard file.isUnchanged else { throw AdapterRejection(changed(Self.tensorsName)).at(directory) }
    }

    private func changed(_ name: String) -> StoreError {
        StoreError(.changed, "\(name) has changed since the adapter was registered", path: "\(directory)/\(name)")
    }

    private func read(_ range: Range<Int>, of file: ReadableFile, into scratch: UnsafeMutableRawBufferPointer) throws(AdapterRejection) {
        do throws(StoreError) {
            try file.read(at: range.lowerBound, into: UnsafeMutableRawBufferPointer(rebasing: scratch[..<range.count]))
        } catch {
            throw AdapterRejection(error).at(directory)
        }
    }

    /// The name of a tensor, which is not kept: it is needed only to refuse.
    private func tensorName(_ entry: Int, in file: ReadableFile) -> String {
        (try? SafetensorsHeader(of: file))?.entries[entry].name ?? Self.tensorsName
    }

    /// Walks through a copy of a base weight, showing each piece to `piece`; throws where it differs from the base.
    private func compare(_ copy: BaseCopy, of file: ReadableFile, _ piece: (UnsafeRawBufferPointer) -> Void) throws(AdapterRejection) {
        let type = copy.type
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
        defer { buffer.deallocate() }
        var done = 0
        while done < copy.range.count {
            let bytes = UnsafeMutableRawBufferPointer(rebasing: buffer[..<min(buffer.count, copy.range.count - done)])
            do throws(StoreError) {
                try file.read(at: copy.range.lowerBound + done, into: bytes)
            } catch {
                throw AdapterRejection(error).at(directory)
            }
            piece(UnsafeRawBufferPointer(bytes))
            if let weight = copy.weight {
                let first = done / type.bytes
                let ours = UnsafeRawBufferPointer(rebasing: weight.bytes[(first * weight.type.bytes)..<((first + bytes.count / type.bytes) * weight.type.bytes)])
                guard isCopy(UnsafeRawBufferPointer(bytes), type, of: ours, weight.type) else {
                    let name = tensorName(copy.entry, in: file)
                    throw AdapterRejection(
                        name, "tensor '\(name)' is not the base's weight: a trained or resized embedding is not supported", path: directory)
                }
            }
            done += bytes.count
        }
    }

    /// Tells a value that was never finite from one that the rounding to `target` makes infinite.
    private func notFinite(_ tensor: String, _ bytes: UnsafeRawBufferPointer, _ type: ElementType, as target: ElementType) -> AdapterRejection {
        AdapterRejection(
            tensor,
            isFinite(bytes, type: type)
                ? "tensor '\(tensor)' holds a value that is too large for \(target.rawValue), in which adapters are computed here"
                : "tensor '\(tensor)' holds a value that is not finite", path: directory)
    }
}
