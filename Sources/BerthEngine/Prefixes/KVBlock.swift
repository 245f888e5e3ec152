// One page of keys and values, and where it stands among the others.
//
// Blocks form trees: a block's keys and values depend on its tokens and on everything before them, so its place below its parent says what it
// holds, and two requests that begin alike stand on the same blocks. A block is in use while a request has it among its own; nobody uses a
// block without using all blocks above it. Blocks that nobody uses stay as long as the economy likes, leaves first.
//
// A block gets its tokens as they are computed. Only who filled it writes to it; once it is full it never changes, and it may be anybody's who
// begins with the same tokens in the same scope. A block that is not full may be copied.

import BerthCore
import BerthMemory

/// Engine thread only. The root of a tree has no page.
final class KVBlock {
    /// Whose keys and values these are: of which tenant's requests, and on which version of which adapter.
    struct Scope: Hashable {
        /// Nil where tenants share what they have computed.
        var tenant: TenantName?
        /// 0 is the base model.
        var adapterSerial: Int
        var adapterDigest: String
    }

    /// The page, until the block is dropped; nil in a root.
    var lease: Lease?
    let address: UnsafeMutableRawPointer?
    /// What it holds. The tokens before them are those of the blocks above.
    private(set) var tokens: [Int32] = []
    /// Tokens of the blocks above.
    let position: Int
    /// Nil in a root, and as long as nothing was computed.
    private(set) unowned var parent: KVBlock?
    /// Full blocks below, by what they hold.
    private(set) var full: [[Int32]: KVBlock] = [:]
    /// All blocks below by their first token, the newest last.
    private(set) var children: [Int32: [KVBlock]] = [:]
    private(set) var childCount = 0
    /// Requests that have it.
    var uses = 0
    /// How often it was found by a request that had not computed it.
    var reuses = 0
    /// The cache's tick and the engine's step when it was last in use.
    var lastUse: UInt64 = 0
    var lastUseStep = 0
    /// In the heap of blocks that may leave: which entry is its own.
    var entry: UInt64 = 0
    /// Only in a root: its adapter is gone, nobody will ask for these blocks again.
    var isRetired = false

    /// A root.
    init() { (address, position) = (nil, 0) }

    init(lease: consuming Lease, address: UnsafeMutableRawPointer, position: Int) {
        self.lease = consume lease
        self.address = address
        self.position = position
    }

    var isRoot: Bool { address == nil }
    /// Nobody uses it, and nothing below it is there.
    var isIdleLeaf: Bool { uses == 0 && childCount == 0 && !isRoot }

    /// This one's, and all below it, each before those that stand on it.
    var tree: [KVBlock] {
        var (found, rest) = ([KVBlock](), [self])
        while let block = rest.popLast() {
            found.append(block)
            rest += block.children.values.joined()
        }
        return found
    }

    func take(_ more: ArraySlice<Int32>) { tokens += more }

    /// Puts a block that holds its first tokens below this one.
    func adopt(_ child: KVBlock) {
        precondition(child.parent == nil && !child.tokens.isEmpty)
        child.parent = self
        children[child.tokens[0], default: []].append(child)
        childCount += 1
    }

    /// The child is full: others may stand on it. It is the only one with these tokens.
    func complete(_ child: KVBlock) { full[child.tokens] = child }

    func remove(_ child: KVBlock) {
        guard let first = child.tokens.first, let index = children[first]?.firstIndex(where: { $0 === child }) else {
            preconditionFailure("a block is not below its parent")
        }
        // In place: a conversation's first token is everybody's.
        children[first]!.remove(at: index)
        if children[first]!.isEmpty { children[first] = nil }
        if full[child.tokens] === child { full[child.tokens] = nil }
        childCount -= 1
        child.parent = nil
    }

    /// The child that begins with the most of `tokens`, of the newest few, and how many they are; nil where none has the first.
    func closest(to tokens: ArraySlice<Int32>, among candidates: Int) -> (block: KVBlock, count: Int)? {
        guard let first = tokens.first, let children = children[first] else { return nil }
        var best: (block: KVBlock, count: Int)?
        for child in children.suffix(candidates) {
            let count = zip(child.tokens, tokens).prefix { $0 == $1 }.count
            if count > best?.count ?? 0 { best = (child, count) }
        }
        return best
    }
}
