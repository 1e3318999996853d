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
        .package(url: "https://github.com/jpsim/Yams", exact: "6.2.2")
    ],
    targets: [
        .executableTarget(
            name: "balance-peer", dependencies: ["Decisions"], path: "Tests/Peers/balance-peer", swiftSettings: settings),
        .target(name: "Decisions", dependencies: ["Fleet", "Plans"], swiftSettings: settings),
        .target(name: "Fleet", swiftSettings: settings),
        .target(name: "Metering", dependencies: ["Fleet"], swiftSettings: settings),
        .target(
            name: "OperatorFiles", dependencies: ["Decisions", "Fleet", "Metering", "Plans", .product(name: "Yams", package: "Yams")],
            swiftSettings: settings),
        .target(name: "Plans", dependencies: ["Fleet"], swiftSettings: settings),
        .target(name: "TimeSeries", dependencies: ["Fleet"], swiftSettings: settings),
        .testTarget(name: "DecisionsTests", dependencies: ["Decisions", "Fleet", "Plans"], swiftSettings: settings),
        .testTarget(name: "FleetTests", dependencies: ["Fleet"], swiftSettings: settings),
        .testTarget(name: "MeteringTests", dependencies: ["Fleet", "Metering"], swiftSettings: settings),
        .testTarget(
            name: "OperatorFilesTests", dependencies: ["Decisions", "Fleet", "Metering", "OperatorFiles", "Plans"], swiftSettings: settings),
        .testTarget(name: "PlansTests", dependencies: ["Fleet", "Plans"], swiftSettings: settings),
    ]
)
