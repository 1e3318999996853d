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
    dependencies: [],
    targets: [
        .target(name: "CZlib", linkerSettings: [.linkedLibrary("z")]),
        .target(name: "Collection", dependencies: ["Fleet", "Gzip", "TimeSeries"], swiftSettings: settings),
        .target(name: "Exposition", dependencies: ["Fleet", "Gzip", "TimeSeries"], swiftSettings: settings),
        .target(name: "Fleet", swiftSettings: settings),
        .target(name: "Gzip", dependencies: ["CZlib"], swiftSettings: settings),
        .target(name: "TimeSeries", dependencies: ["Fleet"], swiftSettings: settings),
        .executableTarget(
            name: "steward-bench", dependencies: ["Collection", "Exposition", "Fleet", "TimeSeries"], swiftSettings: settings),
        .testTarget(
            name: "CollectionTests", dependencies: ["Collection", "Exposition", "Fleet", "Gzip", "TimeSeries"], swiftSettings: settings),
        .testTarget(name: "ExpositionTests", dependencies: ["Exposition", "Fleet", "Gzip", "TimeSeries"], swiftSettings: settings),
        .testTarget(name: "FleetTests", dependencies: ["Fleet"], swiftSettings: settings),
        .testTarget(name: "GzipTests", dependencies: ["Gzip"], swiftSettings: settings),
        .testTarget(name: "TimeSeriesTests", dependencies: ["Fleet", "TimeSeries"], swiftSettings: settings),
    ]
)
