// Keys and values that are there already: of requests that run, and of those that have ended.
//
// Every block of every request stands in a tree of its scope from its first computed token on (`KVBlock.swift`). A request that is let in takes
// over the longest run of full blocks that hold its tokens, and copies of one block more what agrees; it computes only the rest, and by batch
// invariance gets the same tokens. When it ends, or gives up its pages, its blocks stay as nobody's, and the economy decides for how long.
//
// Tokens are compared, not hashes of them, from the root of the scope on: there is no collision, and nobody finds what another tenant's requests have computed.
// Where two requests have computed the same block at the same time, the later one lets its own go.
//
// Engine thread only.

import BerthCore
import BerthMemory

final class PrefixCache {
    /// What is there of a request's tokens.
    struct Match {
        /// Full blocks, from the beginning.
        var blocks: [KVBlock] = []
        /// One that holds some of the tokens that follow, and how many.
        var partial: (block: KVBlock, count: Int)?
        var tokens: Int

        /// Only the full blocks.
        mutating func dropPartial() {
            tokens -= partial?.count ?? 0
            partial = nil
        }
    }

    let pool: Pool
    let blockTokens: Int
    let pageBytes: Int
    /// Whether blocks outlive the requests that computed them, and are found by others.
    let isEnabled: Bool
    private var roots: [KVBlock.Scope: KVBlock] = [:]
    /// Seconds that a token's keys and values take to compute after so many others, about.
    var secondsPerToken: (_ position: Int) -> Double = { _ in 1e-3 }
    /// The engine's step.
    var step = 0
    /// Rises with every release, so that whoever was used last is known.
    private var tick: UInt64 = 0
    var idle = IdleBlocks()

    // Accounts.
    private(set) var blockCount = 0
    /// Tokens that blocks hold.
    private(set) var heldTokens = 0
    /// Blocks that nobody uses.
    private(set) var idleCount = 0
    /// Prompt tokens of requests that were looked up, and those found.
    private(set) var queriedTokens = 0
    private(set) var foundTokens = 0

    /// `pageBytes` is what of a page a block fills.
    init(pool: Pool, blockTokens: Int, pageBytes: Int, isEnabled: Bool) {
        (self.pool, self.blockTokens, self.pageBytes, self.isEnabled) = (pool, blockTokens, pageBytes, isEnabled)
    }

    // MARK: finding

    /// What is there of the first `limit` tokens. Nothing is taken.
    func match(_ tokens: [Int32], limit: Int, in scope: KVBlock.Scope) -> Match {
        var match = Match(tokens: 0)
        guard isEnabled, limit > 0, var block = roots[scope] else { return match }
        while match.tokens + blockTokens <= limit, let next = block.full[Array(tokens[match.tokens..<match.tokens + blockTokens])] {
            match.blocks.append(next)
            match.tokens += blockTokens
            block = next
        }
        match.partial = block.closest(to: tokens[match.tokens..<limit], among: Limits.prefixCandidates)
        match.tokens += match.partial?.count ?? 0
        return match
    }

    /// Uses what was found, so that it stays.
    func claim(_ match: Match) {
        for block in match.blocks { use(block) }
        if let partial = match.partial { use(partial.block) }
    }

    /// Gives back what was claimed, where nothing came of it.
    func unclaim(_ match: Match) {
        if let partial = match.partial { endUse(partial.block) }
        for block in match.blocks.reversed() { endUse(block) }
    }

    /// The blocks of a request that starts on a claimed match: the full ones, a copy of the partial one, and new ones to `count`. Room for them
    /// was made.
    func blocks(_ count: Int, startingOn match: Match, countingAs isFirst: Bool, promptTokens: Int) -> [KVBlock] {
        var blocks = match.blocks
        while blocks.count < count { blocks.append(newBlock(at: blocks.count)!) }
        for block in match.blocks where isFirst { block.reuses += 1 }
        if let partial = match.partial {
            let copy = blocks[match.blocks.count]
            copy.address!.copyMemory(from: partial.block.address!, byteCount: pageBytes)
            take(partial.block.tokens[..<partial.count], copy)
            partial.block.parent!.adopt(copy)
            if isFirst { partial.block.reuses += 1 }
            endUse(partial.block)
        }
        if isFirst, isEnabled {
            queriedTokens += promptTokens
            foundTokens += match.tokens
        }
        return blocks
    }

    // MARK: a request's blocks

    /// A block for the tokens after so many others; nil where the pool has no room.
    func newBlock(at index: Int) -> KVBlock? {
        guard let lease = pool.reserve(1, for: .kv) else { return nil }
        // Written and read by the engine's thread, in steps: there is nobody to wait for.
        pool.publish(lease)
        let address = pool.address(of: pool.lastPage(of: lease))
        let block = KVBlock(lease: lease, address: address, position: index * blockTokens)
        block.uses = 1
        blockCount += 1
        return block
    }

    /// A request's tokens from `first` to `end` have keys and values now. Its blocks find their places; those that somebody else has computed, too, are replaced.
    /// True where one was.
    func computed(_ tokens: [Int32], _ range: Range<Int>, _ blocks: inout [KVBlock], in scope: KVBlock.Scope) -> Bool {
        guard isEnabled, !range.isEmpty else { return false }
        var wasReplaced = false
        for index in range.lowerBound / blockTokens...(range.upperBound - 1) / blockTokens {
            let block = blocks[index]
            let end = min(range.upperBound, (index + 1) * blockTokens)
            take(tokens[index * blockTokens + block.tokens.count..<end], block)
            let parent = index == 0 ? root(of: scope) : blocks[index - 1]
            guard block.tokens.count == blockTokens else {
                if block.parent == nil { parent.adopt(block) }
                continue
            }
            if let same = parent.full[block.tokens] {
                use(same)
                blocks[index] = same
                if block.parent != nil { parent.remove(block) }
                drop(block)
                wasReplaced = true
            } else {
                if block.parent == nil { parent.adopt(block) }
                parent.complete(block)
            }
        }
        return wasReplaced
    }

    private func take(_ tokens: ArraySlice<Int32>, _ block: KVBlock) {
        block.take(tokens)
        heldTokens += tokens.count
    }

    /// A request gives up its blocks. What was computed stays.
    func release(_ blocks: [KVBlock]) {
        tick += 1
        // The first stands on the root.
        let isRetired = blocks.first?.parent?.isRetired == true
        for block in blocks.reversed() { endUse(block, isRetired: isRetired) }
        if isRetired { retired.removeAll { $0.childCount == 0 } }
    }

    private func use(_ block: KVBlock) {
        if block.uses == 0 {
            idleCount -= 1
            idle.remove(block)
            idle.chances.learn(reuses: block.reuses, idleSteps: step - block.lastUseStep, wasWanted: true)
        }
        block.uses += 1
    }

    private func endUse(_ block: KVBlock, isRetired: Bool = false) {
        block.uses -= 1
        guard block.uses == 0 else { return }
        guard let parent = block.parent, !isRetired else {
            // Nothing was computed in it, or nobody will ask for it.
            block.parent?.remove(block)
            drop(block)
            return
        }
        precondition(parent.uses > 0 || parent.isRoot, "a block outlives the one above it")
        idleCount += 1
        (block.lastUse, block.lastUseStep) = (tick, step)
        if block.isIdleLeaf { idle.insert(block, seconds: seconds(of: block)) }
    }

    /// What computing it again would take.
    private func seconds(of block: KVBlock) -> Double { Double(block.tokens.count) * secondsPerToken(block.position) }

    // MARK: leaving

    /// A block that nobody uses leaves, and makes its parent a leaf perhaps.
    func evict(_ block: KVBlock) {
        let parent = block.parent!
        dropIdle(block)
        if parent.isIdleLeaf { idle.insert(parent, seconds: seconds(of: parent)) }
    }

    /// An adapter's version is gone: what was computed on it goes as soon as nobody uses it.
    func retire(adapterSerial: Int) {
        for (scope, root) in roots where scope.adapterSerial == adapterSerial {
            dropIdle(below: root)
            root.isRetired = true
            roots[scope] = nil
            if root.childCount > 0 { retired.append(root) }
        }
        retired.removeAll { $0.childCount == 0 }
    }

    /// Roots of adapters that are gone, while requests end on them.
    private var retired: [KVBlock] = []

    private func dropIdle(below root: KVBlock) {
        for block in root.tree.reversed() where block.isIdleLeaf { dropIdle(block) }
    }

    private func dropIdle(_ block: KVBlock) {
        precondition(block.isIdleLeaf)
        idle.remove(block)
        block.parent!.remove(block)
        idleCount -= 1
        drop(block)
    }

    private func root(of scope: KVBlock.Scope) -> KVBlock {
        if let root = roots[scope] { return root }
        // Whoever has nothing left is forgotten, now and then.
        if roots.count >= Limits.prefixScopes { roots = roots.filter { $0.value.childCount > 0 } }
        let root = KVBlock()
        roots[scope] = root
        return root
    }

    private func drop(_ block: KVBlock) {
        heldTokens -= block.tokens.count
        blockCount -= 1
        pool.release(block.lease.take()!)
    }

    /// For the end of the engine: no request has a block any more.
    func shutDown() {
        for root in roots.values { dropIdle(below: root) }
    }

    /// Proves that the trees, the uses and the pool agree. `holders` are the blocks of all requests, one entry each time.
    func checkInvariants(holders: [KVBlock]) {
        var uses: [ObjectIdentifier: Int] = [:]
        for block in holders { uses[ObjectIdentifier(block), default: 0] += 1 }
        var (blocks, held, idleBlocks, leaves) = (0, 0, 0, 0)
        var seen: Set<ObjectIdentifier> = []
        for block in (Array(roots.values) + retired).flatMap(\.tree) {
            precondition(block.children.values.joined().count == block.childCount)
            for child in block.children.values.joined() {
                precondition(child.parent === block && child.position == (block.isRoot ? 0 : block.position + blockTokens))
                precondition(block.isRoot || child.uses == 0 || block.uses > 0, "a block is in use and the one above it is not")
                precondition((child.tokens.count == blockTokens) == (block.full[child.tokens] === child), "a full block cannot be found")
            }
            if block.isRoot { continue }
            precondition(seen.insert(ObjectIdentifier(block)).inserted, "a block stands in two places")
            precondition(block.uses == uses[ObjectIdentifier(block)] ?? 0, "a block says that \(block.uses) use it, and \(uses[ObjectIdentifier(block)] ?? 0) do")
            precondition(block.lease != nil && block.tokens.count <= blockTokens)
            blocks += 1
            held += block.tokens.count
            idleBlocks += block.uses == 0 ? 1 : 0
            leaves += block.isIdleLeaf ? 1 : 0
            precondition(!block.isIdleLeaf || idle.contains(block), "a block that may leave is not among those that may")
        }
        // Those in which nothing was computed yet stand nowhere.
        for block in holders where seen.insert(ObjectIdentifier(block)).inserted {
            precondition(block.parent == nil && (!isEnabled || block.tokens.isEmpty) && block.uses == 1)
            blocks += 1
        }
        precondition(blocks == blockCount && blocks == pool.pageCount(of: .kv), "\(blocks) blocks are known, \(blockCount) counted, \(pool.pageCount(of: .kv)) leased")
        precondition(held == heldTokens && idleBlocks == idleCount && leaves == idle.count, "the prefix cache miscounts")
    }
}
