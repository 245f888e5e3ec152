// swift-tools-version: 6.1
import PackageDescription

// The targets stand in the order in which data goes round the ring; each imports only those above it.
// `Sources/README.md` says what lives in which.

/// Kernels are compiled with optimisation in debug builds too: a test of a scalar loop at -O0 tests nothing useful
/// and takes an hour.
let kernelSettings: [CSetting] = [.unsafeFlags(["-O3", "-fno-math-errno", "-ffp-contract=off", "-Wno-psabi"])]

func berth(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies)
}

/// `fixtures`: the tests read files beside them, which are found by path and are no resources.
func tests(of name: String, _ dependencies: [Target.Dependency] = [], fixtures: Bool = false) -> Target {
    .testTarget(name: name + "Tests", dependencies: [.byName(name: name)] + dependencies, exclude: fixtures ? ["Fixtures"] : [])
}

let package = Package(
    name: "berth",
    products: [
        .library(name: "BerthClient", targets: ["BerthClient"]),
        .executable(name: "berthd", targets: ["berthd"]),
        .executable(name: "berth", targets: ["berth"]),
        .executable(name: "berth-bench", targets: ["berth-bench"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),  // tests only: a second HTTP parser
    ],
    targets: [
        .systemLibrary(name: "CUV", pkgConfig: "libuv", providers: [.apt(["libuv1-dev"])]),
        .systemLibrary(name: "CPCRE2", pkgConfig: "libpcre2-8", providers: [.apt(["libpcre2-dev"])]),
        .systemLibrary(name: "CSodium", pkgConfig: "libsodium", providers: [.apt(["libsodium-dev"])]),
        .systemLibrary(name: "CEdit", pkgConfig: "libedit", providers: [.apt(["libedit-dev"])]),
        .systemLibrary(name: "CLinux"),
        .systemLibrary(name: "CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),
        .systemLibrary(name: "CXXHash", pkgConfig: "libxxhash", providers: [.apt(["libxxhash-dev"])]),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        .target(name: "CKernels", cSettings: kernelSettings),

        berth("BerthCore", [.product(name: "OrderedCollections", package: "swift-collections")]),
        berth("BerthKernels", ["BerthCore", "CKernels", "CLinux"]),
        berth("BerthMemory", ["BerthCore", "CLinux"]),
        berth("BerthStore", ["BerthCore", "BerthKernels", "CSodium", "CLinux", "CPCRE2", "CXXHash"]),
        berth("BerthText", ["BerthCore", "CPCRE2"]),
        berth("BerthModels", ["BerthCore", "BerthKernels", "BerthMemory", "BerthStore"]),
        berth("BerthEngine", [
            "BerthCore", "CLinux", "BerthKernels", "BerthMemory", "BerthStore", "BerthText", "BerthModels",
            .product(name: "HeapModule", package: "swift-collections"),
        ]),
        berth("BerthSimulator", [
            "BerthCore", "BerthKernels", "BerthMemory", "BerthModels", "BerthEngine", .product(name: "HeapModule", package: "swift-collections"),
        ]),
        berth("BerthLoop", ["BerthCore", "CUV", "CLinux"]),
        berth("BerthHTTP", ["BerthCore", "CSodium", .product(name: "HTTPTypes", package: "swift-http-types")]),
        berth("BerthBatches", ["BerthCore", "CSQLite"]),
        berth("BerthServer", [
            "BerthCore", "BerthKernels", "BerthMemory", "BerthStore", "BerthText", "BerthModels", "BerthEngine", "BerthLoop", "BerthHTTP", "BerthBatches",
            .product(name: "Logging", package: "swift-log"),
            .product(name: "HTTPTypes", package: "swift-http-types"),
        ]),
        berth("BerthClient", ["BerthCore", "BerthHTTP", .product(name: "HTTPTypes", package: "swift-http-types")]),

        .executableTarget(
            name: "berthd",
            dependencies: ["BerthServer", .product(name: "ArgumentParser", package: "swift-argument-parser")]),
        .executableTarget(
            name: "berth",
            dependencies: ["BerthCore", "BerthClient", "CEdit", .product(name: "ArgumentParser", package: "swift-argument-parser")]),
        .executableTarget(
            name: "berth-bench",
            dependencies: [
                "CZlib",
                "BerthCore", "BerthKernels", "BerthMemory", "BerthStore", "BerthText", "BerthModels", "BerthEngine", "BerthSimulator", "BerthClient",
                .product(name: "HeapModule", package: "swift-collections"), .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]),

        tests(of: "BerthCore"),
        tests(of: "BerthKernels", ["BerthCore", "CKernels"]),
        tests(of: "BerthMemory", ["BerthCore"]),
        tests(of: "BerthStore", ["BerthCore"], fixtures: true),
        tests(of: "BerthText", ["BerthCore"], fixtures: true),
        tests(of: "BerthModels", ["BerthCore", "BerthKernels", "BerthMemory", "BerthStore", "BerthText"], fixtures: true),
        tests(of: "BerthEngine", ["BerthCore", "BerthKernels", "BerthMemory", "BerthStore", "BerthText", "BerthModels"]),
        tests(of: "BerthSimulator", ["BerthCore", "BerthKernels", "BerthModels", "BerthEngine"]),
        tests(of: "BerthLoop", ["BerthCore"]),
        tests(of: "BerthHTTP", ["BerthCore", .product(name: "NIOHTTP1", package: "swift-nio"), .product(name: "NIOEmbedded", package: "swift-nio")]),
        tests(of: "BerthBatches", ["BerthCore"]),
        tests(of: "BerthServer", ["BerthCore", "BerthKernels", "BerthEngine", "BerthClient", "BerthHTTP", "BerthBatches", "berth-bench"], fixtures: true),
        .testTarget(name: "BerthBenchTests", dependencies: ["berth-bench", "BerthCore", "BerthKernels", "BerthModels", "BerthStore", "BerthSimulator"]),
        .testTarget(name: "BerthToolTests", dependencies: ["berth", "BerthClient", "BerthCore"]),
        tests(of: "BerthClient", ["BerthCore", "BerthHTTP", "berth"]),
    ],
    swiftLanguageModes: [.v6],
    cLanguageStandard: .gnu17
)
