import BerthCore
import Testing

@testable import berth

@Suite struct WavesTests {
    @Test func showsThePlanBesideTheTime() {
        let answer: JSON = [
            "running": 212, "waiting": 44, "waves": 130, "abandoned": 2, "rows": 4096, "part_rows": 512,
            "planned": ["requests": 256, "seconds": 0.7404], "schedule": ["rows": 891, "seconds": 98.25],
            "last": ["requests": 254, "rows": 880, "foreseen_seconds": 0.741, "seconds": 0.76],
            "all": ["foreseen_seconds": 100.5, "seconds": 102.25],
        ]
        let expected = """
            requests: 212 run, 44 wait
            plan: 256 requests in a wave, 0.74 s where each gets a token
            while there are prompts: 891 rows in a wave; then all was to be done in 98.25 s
            last wave: 254 requests, 880 rows, 0.76 s, foreseen 0.741 s
            all 130 waves: 102.25 s, foreseen 100.5 s; 2 given up
            """
        #expect(WavesCommand.lines(answer).joined(separator: "\n") == expected)
        #expect(WavesCommand.lines(["running": 0, "waiting": 3, "waves": 0]) == ["requests: 0 run, 3 wait", "no wave has ended yet"])
    }
}
