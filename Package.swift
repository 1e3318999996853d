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
        .target(name: "Fleet", swiftSettings: settings),
        .target(name: "PromQL", dependencies: ["Fleet", "TimeSeries"], swiftSettings: settings),
        .target(name: "TimeSeries", dependencies: ["Fleet"], swiftSettings: settings),
        .testTarget(name: "FleetTests", dependencies: ["Fleet"], swiftSettings: settings),
    ]
)
