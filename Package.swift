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
        .package(url: "https://github.com/groue/GRDB.swift", exact: "7.10.0")
    ],
    targets: [
        .systemLibrary(name: "CZstd", providers: [.apt(["libzstd-dev"])]),
        .target(name: "Fleet", swiftSettings: settings),
        .target(
            name: "Storage", dependencies: ["Fleet", "TimeSeries", .product(name: "GRDBSQLite", package: "GRDB.swift")],
            swiftSettings: settings),
        .target(name: "TimeSeries", dependencies: ["CZstd", "Fleet"], swiftSettings: settings),
        .executableTarget(
            name: "sample-writer", dependencies: ["Fleet", "Storage", "TimeSeries"], path: "Tests/SampleWriter", swiftSettings: settings),
        .testTarget(name: "FleetTests", dependencies: ["Fleet"], swiftSettings: settings),
        .testTarget(
            name: "StorageTests",
            dependencies: ["Fleet", "Storage", "TimeSeries", "sample-writer", .product(name: "GRDBSQLite", package: "GRDB.swift")],
            swiftSettings: settings),
        .testTarget(name: "TimeSeriesTests", dependencies: ["Fleet", "TimeSeries"], swiftSettings: settings),
    ]
)
