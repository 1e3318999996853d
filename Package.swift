// swift-tools-version: 6.2
import PackageDescription

// Shared by every Swift target. Each upcoming feature by its proposal:
let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),  // SE-0335
    .enableUpcomingFeature("InternalImportsByDefault"),  // SE-0409
    .enableUpcomingFeature("MemberImportVisibility"),  // SE-0444
    .treatAllWarnings(as: .error),
]

let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let grdb = Target.Dependency.product(name: "GRDB", package: "GRDB.swift")
let grdbSQLite = Target.Dependency.product(name: "GRDBSQLite", package: "GRDB.swift")
let httpTypes = Target.Dependency.product(name: "HTTPTypes", package: "swift-http-types")
let hummingbird = Target.Dependency.product(name: "Hummingbird", package: "hummingbird")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let nioCore = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
let serviceLifecycle = Target.Dependency.product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let unixSignals = Target.Dependency.product(name: "UnixSignals", package: "swift-service-lifecycle")
let yams = Target.Dependency.product(name: "Yams", package: "Yams")

let package = Package(
    name: "steward",
    products: [
        .executable(name: "steward", targets: ["steward"])
    ],
    // Exact versions: no lock file travels with the project.
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
        .package(url: "https://github.com/apple/swift-crypto", exact: "4.5.2"),
        .package(url: "https://github.com/apple/swift-http-types", exact: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", exact: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio", exact: "2.101.2"),
        .package(url: "https://github.com/groue/GRDB.swift", exact: "7.10.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", exact: "2.28.1", traits: []),
        .package(url: "https://github.com/jpsim/Yams", exact: "6.2.2"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", exact: "2.13.0"),
    ],
    // One section a room, sorted: C modules, rooms, executables, tests.
    targets: [
        .systemLibrary(name: "CCurl", pkgConfig: "libcurl", providers: [.apt(["libcurl4-openssl-dev"])]),
        .systemLibrary(name: "CLibvirt", pkgConfig: "libvirt", providers: [.apt(["libvirt-dev"])]),
        .target(name: "CZlib", linkerSettings: [.linkedLibrary("z")]),
        .systemLibrary(name: "CZstd", providers: [.apt(["libzstd-dev"])]),
        .target(name: "FaultyVFS", path: "Tests/FaultyVFS", linkerSettings: [.linkedLibrary("sqlite3")]),

        .target(name: "Actuation", dependencies: ["Fleet", "Libvirt", "Plans", "Threads"], swiftSettings: settings),
        .target(name: "Collection", dependencies: ["Fleet", "Gzip", "Threads", "TimeSeries"], swiftSettings: settings),
        .target(name: "Decisions", dependencies: ["Fleet", "Plans"], swiftSettings: settings),
        .target(name: "Exposition", dependencies: ["Fleet", "Gzip", "TimeSeries"], swiftSettings: settings),
        .target(name: "Fencing", dependencies: ["Fleet"], swiftSettings: settings),
        .target(name: "Fleet", swiftSettings: settings),
        .target(name: "Groups", dependencies: ["Decisions", "Fleet", "Plans"], swiftSettings: settings),
        .target(name: "Gzip", dependencies: ["CZlib"], swiftSettings: settings),
        .target(name: "HTTPServer", dependencies: [httpTypes, hummingbird, logging, nioCore], swiftSettings: settings),
        .target(name: "JournalStorage", dependencies: ["Fleet", "Plans", crypto, grdb, grdbSQLite], swiftSettings: settings),
        .target(name: "LedgerStorage", dependencies: ["Fleet", "Metering", crypto, grdb, grdbSQLite], swiftSettings: settings),
        .target(name: "Libvirt", dependencies: ["CLibvirt", "Fleet"], swiftSettings: settings),
        .target(name: "MeterFeed", dependencies: ["Collection", "Fleet", "Metering"], swiftSettings: settings),
        .target(name: "Metering", dependencies: ["Fleet"], swiftSettings: settings),
        .target(name: "Operations", dependencies: ["Fleet", "Plans", "Threads"], swiftSettings: settings),
        .target(name: "OperatorFiles", dependencies: ["Decisions", "Fleet", "Metering", "Plans", yams], swiftSettings: settings),
        .target(name: "Plans", dependencies: ["Fleet"], swiftSettings: settings),
        .target(name: "PrometheusAPI", dependencies: ["Fleet", "PromQL", "TimeSeries"], swiftSettings: settings),
        .target(name: "PromQL", dependencies: ["Fleet", "TimeSeries"], swiftSettings: settings),
        .target(name: "Storage", dependencies: ["Fleet", "TimeSeries", grdbSQLite], swiftSettings: settings),
        .target(name: "Threads", dependencies: ["Fleet"], swiftSettings: settings),
        .target(name: "TimeSeries", dependencies: ["CZstd", "Fleet"], swiftSettings: settings),
        .target(name: "Webhooks", dependencies: ["CCurl", "Fleet", "Plans", crypto], swiftSettings: settings),

        .executableTarget(
            name: "steward",
            dependencies: [
                "Actuation", "Collection", "Decisions", "Exposition", "Fencing", "Fleet", "Groups", "HTTPServer", "JournalStorage",
                "LedgerStorage",
                "Libvirt", "MeterFeed", "Metering", "OperatorFiles", "Operations", "Plans", "PromQL", "PrometheusAPI", "Storage", "Threads",
                "TimeSeries", "Webhooks",
                argumentParser, logging, serviceLifecycle,
                unixSignals,
            ], swiftSettings: settings),
        .executableTarget(
            name: "steward-bench", dependencies: ["Collection", "Exposition", "Fleet", "Storage", "TimeSeries"], swiftSettings: settings),
        .executableTarget(
            name: "ledger-writer", dependencies: ["Fleet", "LedgerStorage", "Metering"], path: "Tests/LedgerWriter", swiftSettings: settings
        ),
        .executableTarget(
            name: "metering-bench", dependencies: ["Fleet", "Metering"], path: "Tests/MeteringBench", swiftSettings: settings),
        .executableTarget(
            name: "promql-conformance", dependencies: ["QueryScripts"], path: "Tests/PromQLConformance", swiftSettings: settings),
        .executableTarget(
            name: "sample-writer", dependencies: ["Fleet", "Storage", "TimeSeries"], path: "Tests/SampleWriter", swiftSettings: settings),

        .target(
            name: "QueryScripts", dependencies: ["Fleet", "PromQL", "TimeSeries"], path: "Tests/QueryScripts", swiftSettings: settings),

        .testTarget(
            name: "CollectionTests", dependencies: ["Collection", "Exposition", "Fleet", "Gzip", "TimeSeries"], swiftSettings: settings),
        .testTarget(name: "DecisionsTests", dependencies: ["Decisions", "Fleet", "Plans"], swiftSettings: settings),
        .testTarget(name: "ExpositionTests", dependencies: ["Exposition", "Fleet", "Gzip", "TimeSeries"], swiftSettings: settings),
        .testTarget(name: "FencingTests", dependencies: ["Fencing"], swiftSettings: settings),
        .testTarget(name: "FleetTests", dependencies: ["Fleet"], swiftSettings: settings),
        .testTarget(name: "GroupsTests", dependencies: ["Decisions", "Fleet", "Groups", "Plans"], swiftSettings: settings),
        .testTarget(name: "GzipTests", dependencies: ["Gzip"], swiftSettings: settings),
        .testTarget(name: "HTTPServerTests", dependencies: ["HTTPServer"], swiftSettings: settings),
        .testTarget(
            name: "LedgerStorageTests", dependencies: ["Fleet", "LedgerStorage", "Metering", "ledger-writer", grdb, grdbSQLite],
            swiftSettings: settings),
        .testTarget(name: "LibvirtTests", dependencies: ["Fleet", "Libvirt"], swiftSettings: settings),
        .testTarget(name: "MeterFeedTests", dependencies: ["Collection", "Fleet", "MeterFeed", "Metering"], swiftSettings: settings),
        .testTarget(name: "MeteringTests", dependencies: ["Fleet", "Metering"], swiftSettings: settings),
        .testTarget(
            name: "OperatorFilesTests", dependencies: ["Decisions", "Fleet", "Metering", "OperatorFiles", "Plans"], swiftSettings: settings),
        .testTarget(name: "PlansTests", dependencies: ["Fleet", "Plans"], swiftSettings: settings),
        .testTarget(
            name: "PrometheusAPITests", dependencies: ["Fleet", "PrometheusAPI", "PromQL", "QueryScripts", "TimeSeries"],
            swiftSettings: settings),
        .testTarget(
            name: "PromQLTests", dependencies: ["Fleet", "PromQL", "QueryScripts", "TimeSeries"], exclude: ["Scripts"],
            swiftSettings: settings),
        .testTarget(
            name: "StorageTests", dependencies: ["FaultyVFS", "Fleet", "Storage", "TimeSeries", "sample-writer", grdbSQLite],
            swiftSettings: settings),
        .testTarget(name: "TidyTests", swiftSettings: settings),
        .testTarget(name: "TimeSeriesTests", dependencies: ["Fleet", "TimeSeries"], swiftSettings: settings),
        .testTarget(name: "WebhooksTests", dependencies: ["Fleet", "Plans", "Webhooks"], swiftSettings: settings),
    ]
)
