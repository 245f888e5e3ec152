// `GET /waves`: bulk work, and the plan of its waves beside what they take.

import BerthCore
import BerthEngine

extension WaveStatus {
    var json: JSON {
        [
            "running": JSON(running), "waiting": JSON(waiting), "waves": JSON(waves), "abandoned": JSON(abandoned), "rows": JSON(rows),
            "part_rows": JSON(partRows), "planned": ["requests": JSON(plannedRequests), "seconds": .number(plannedSeconds)],
            "schedule": ["rows": JSON(scheduledRows), "seconds": .number(scheduledSeconds)],
            "last": [
                "requests": JSON(lastRequests), "rows": JSON(lastRows), "foreseen_seconds": .number(foreseenSeconds),
                "seconds": .number(measuredSeconds),
            ],
            "all": ["foreseen_seconds": .number(allForeseenSeconds), "seconds": .number(allMeasuredSeconds)],
        ]
    }
}
