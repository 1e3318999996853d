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

let package = Package(
    name: "steward",
    products: [],
    dependencies: [
        .package(url: "https://github.com/apple/swift-crypto", exact: "4.5.2"),
        .package(url: "https://github.com/groue/GRDB.swift", exact: "7.10.0"),
        .package(url: "https://github.com/jpsim/Yams", exact: "6.2.2"),
    ],
    targets: [
        .target(name: "Fleet", swiftSettings: settings),
        .executableTarget(
            name: "ledger-writer", dependencies: ["Fleet", "Metering", "Storage"], path: "Tests/LedgerWriter", swiftSettings: settings),
        .target(name: "Metering", dependencies: ["Fleet"], swiftSettings: settings),
        .target(
            name: "OperatorFiles", dependencies: ["Fleet", "Metering", .product(name: "Yams", package: "Yams")], swiftSettings: settings),
        .target(
            name: "Storage",
            dependencies: [
                "Fleet", "Metering", .product(name: "Crypto", package: "swift-crypto"), .product(name: "GRDB", package: "GRDB.swift"),
            ], swiftSettings: settings),
        .executableTarget(
            name: "metering-bench", dependencies: ["Fleet", "Metering"], path: "Tests/MeteringBench", swiftSettings: settings),
        .target(name: "TimeSeries", dependencies: ["Fleet"], swiftSettings: settings),
        .testTarget(name: "FleetTests", dependencies: ["Fleet"], swiftSettings: settings),
        .testTarget(name: "MeteringTests", dependencies: ["Fleet", "Metering"], swiftSettings: settings),
        .testTarget(name: "OperatorFilesTests", dependencies: ["Fleet", "Metering", "OperatorFiles"], swiftSettings: settings),
        .testTarget(
            name: "StorageTests",
            dependencies: ["Fleet", "Metering", "Storage", "ledger-writer", .product(name: "GRDB", package: "GRDB.swift")],
            swiftSettings: settings),
    ]
)
