// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {BatchHeader} from "./BatchHeader.sol";
import {BatchLog} from "./BatchLog.sol";
import {DeviceSlot} from "./DeviceSlot.sol";
import {Judge} from "./Judge.sol";
import {Lanes} from "./Lanes.sol";
import {ProfileSlot} from "./ProfileSlot.sol";

/// @title The judge of a batch
/// @notice Gives every reading the verdict that `Judge` gives it. Readings are compared a word at a time (`Lanes`); a
/// word that does not fit the lanes, or a batch whose times do not hold, goes reading by reading.
library BatchJudge {
    using BatchHeader for uint256;
    using DeviceSlot for uint256;
    using ProfileSlot for uint256;

    /// @dev A batch, and where judging it reading by reading stands.
    /// @param rules The slot of the device's profile.
    /// @param header The batch's header.
    /// @param data Where in the calldata its readings begin.
    /// @param slot The device's, before the batch.
    /// @param values Of the reading before, as they travel in 4 bytes.
    /// @param time Of the reading before; at first the batch's start.
    /// @param lastTime The latest time accepted.
    struct Walk {
        uint256 rules;
        uint256 header;
        uint256 data;
        uint256 slot;
        uint256 values;
        uint256 time;
        uint256 lastTime;
    }

    /// @dev A regular or timed batch on its way through the lanes.
    /// @param lower What all lanes of a word are compared with, see `Lanes`.
    /// @param upper Likewise.
    /// @param step Likewise.
    /// @param kept The bits of each word that belong to the batch.
    /// @param data Where in the calldata its readings begin.
    /// @param next Where the next exception goes.
    /// @param gaps Of a timed batch: sums of the gaps so far, in five lanes of 48 bits.
    struct Run {
        uint256 lower;
        uint256 upper;
        uint256 step;
        uint256 kept;
        uint256 data;
        uint256 next;
        uint256 gaps;
    }

    uint256 private constant ALL = type(uint256).max;

    /// @notice Judges a batch's readings in order.
    /// @param slot The device's slot before.
    /// @param rules The slot of the device's profile.
    /// @param header The batch's header.
    /// @param data Where in the calldata its readings begin.
    /// @param first Where in the event's data its first exception goes.
    /// @return next Behind the last exception.
    /// @return values Temperature and humidity of the last reading, as they travel in 4 bytes.
    /// @return lastTime The latest time accepted.
    function judge(
        uint256 slot,
        uint256 rules,
        uint256 header,
        uint256 data,
        uint256 first
    ) internal view returns (uint256 next, uint256 values, uint256 lastTime) {
        unchecked {
            uint256 latest = Judge.latestTime(rules);
            uint256 start = header.start();
            uint256 n = header.count();
            // Whether the first time is after the device's last, none is in the future, none falls behind another.
            bool hold;
            if (header.format() == BatchHeader.TIMED) {
                hold = start + (_load(data) >> 240) > slot.lastTime();
                if (hold) {
                    (lastTime, values, next) = _timed(slot, rules, header, data, first);
                    lastTime += start;
                    hold = lastTime <= latest;
                }
            } else {
                lastTime = start + (n - 1) * header.period();
                hold = start > slot.lastTime() && lastTime <= latest && (n == 1 || header.period() != 0);
                if (hold) {
                    (values, next) = header.format() == BatchHeader.REGULAR
                        ? _regular(slot, rules, header, data, first)
                        : _delta(slot, rules, header, data, first);
                }
            }
            if (!hold) {
                Walk memory walk = Walk(rules, header, data, slot, slot.values(), start, slot.lastTime());
                next = _oneByOne(walk, latest, 0, n, first);
                (values, lastTime) = (walk.values, walk.lastTime);
            }
        }
    }

    /// @dev Regular: eight readings a word.
    function _regular(
        uint256 slot,
        uint256 rules,
        uint256 header,
        uint256 data,
        uint256 next
    ) private pure returns (uint256, uint256) {
        unchecked {
            (uint256 lower, uint256 upper, uint256 step) = rules.lanes();
            Run memory run = Run(lower * Lanes.PAIRS, upper * Lanes.PAIRS, step * Lanes.PAIRS, ALL, data, next, 0);
            uint256 end = data + 4 * header.count();
            uint256 before = _before(slot, _load(data) >> 224) << 224;
            uint256 place = data;
            for (;;) {
                (place, before) = _pairs(place, end - 31, before, run);
                if (place >= end) break;
                if (place + 31 >= end) {
                    run.kept = _kept(end - place);
                    (place, before) = _pairs(place, end, before, run);
                    if (place >= end) break;
                }
                uint256 last = place == data ? slot.values() : uint32(_load(place - 32));
                (last, run.next) = _oneWord(
                    Walk(rules, header, data, slot, last, 0, 0),
                    (place - data) / 4,
                    8,
                    run.next
                );
                before = Lanes.fromReading(last) << 224;
                place += 32;
            }
            return (uint32(_load(end - 32)), run.next);
        }
    }

    /// @dev Judges a regular batch's words from `place` to `limit`, or to one that the lanes do not hold.
    /// @param before The lanes of the reading before, in the highest two.
    function _pairs(
        uint256 place,
        uint256 limit,
        uint256 before,
        Run memory run
    ) private pure returns (uint256, uint256) {
        unchecked {
            (uint256 lower, uint256 upper, uint256 step, uint256 kept) = (run.lower, run.upper, run.step, run.kept);
            if (before & Lanes.SPILL != 0) limit = 0;
            while (place < limit) {
                uint256 lanes = Lanes.fromReadings(_load(place) & kept, Lanes.PAIRS);
                uint256 range = Lanes.inRange(lanes, lower, upper);
                uint256 jumps = Lanes.inStep(lanes, (lanes >> 32) | before, step);
                if ((~(range & jumps) & Lanes.HIGH) | (lanes & Lanes.SPILL) != 0) {
                    if (lanes & Lanes.SPILL != 0) break;
                    range = Lanes.flagsOf(range, jumps, kept & Lanes.HIGH, Lanes.PAIRS);
                    run.next = BatchLog.addAll(run.next, (place - run.data) / 4, range, 32);
                }
                before = lanes << 224;
                place += 32;
            }
            return (place, before);
        }
    }

    /// @dev Timed: five readings a word.
    /// @return What all gaps come to.
    /// @return The last reading's values.
    /// @return Behind the last exception.
    function _timed(
        uint256 slot,
        uint256 rules,
        uint256 header,
        uint256 data,
        uint256 next
    ) private view returns (uint256, uint256, uint256) {
        unchecked {
            (uint256 lower, uint256 upper, uint256 step) = rules.lanes();
            // A gap is 1 or more, and may change by anything.
            Run memory run = Run(
                (lower | (0x7FFF << 32)) * Lanes.TRIPLES,
                (upper | (0xBFFF << 32)) * Lanes.TRIPLES,
                (step | (0xBFFF << 32)) * Lanes.TRIPLES,
                ALL >> 16,
                data,
                next,
                0
            );
            uint256 end = data + 6 * header.count();
            uint256 before = _before(slot, uint32(_load(data) >> 208)) << 192;
            uint256 place = data;
            uint256 latest = 0;
            for (;;) {
                (place, before) = _triples(place, end - 29, before, run);
                if (place >= end) break;
                if (place + 29 >= end) {
                    run.kept = _kept(end - place) >> 16;
                    (place, before) = _triples(place, end, before, run);
                    if (place >= end) break;
                }
                if (latest == 0) {
                    // Before anything goes the slow way: if the batch ends in the future, all of it has to, and once is
                    // enough.
                    latest = Judge.latestTime(rules);
                    uint256 sum = _sumOfGaps(data, end);
                    if (header.start() + sum > latest) return (sum, 0, next);
                }
                uint256 last = place == data ? slot.values() : uint32(_load(place - 32));
                (last, run.next) = _oneWord(
                    Walk(rules, header, data, slot, last, 0, 0),
                    (place - data) / 6,
                    5,
                    run.next
                );
                before = Lanes.fromReading(last) << 192;
                place += 30;
            }
            return (((run.gaps * Lanes.TRIPLES) >> 192) & 0xFFFFFFFFFFFF, uint32(_load(end - 32)), run.next);
        }
    }

    /// @dev Five gaps at a time, in lanes of 48 bits.
    function _sumOfGaps(uint256 place, uint256 end) private pure returns (uint256) {
        unchecked {
            uint256 sums = 0;
            for (; place < end; place += 30) {
                sums += ((_load(place) & _kept(end - place)) >> 48) & (0xFFFF * Lanes.TRIPLES);
            }
            return ((sums * Lanes.TRIPLES) >> 192) & 0xFFFFFFFFFFFF;
        }
    }

    /// @dev As `_pairs`, of a timed batch.
    /// @param before The lanes of the reading before, in the highest two of 240 bits.
    function _triples(
        uint256 place,
        uint256 limit,
        uint256 before,
        Run memory run
    ) private pure returns (uint256, uint256) {
        unchecked {
            (uint256 lower, uint256 upper, uint256 step, uint256 kept) = (run.lower, run.upper, run.step, run.kept);
            while (place < limit) {
                uint256 lanes = (_load(place) >> 16) & kept;
                run.gaps += (lanes >> 32) & (0xFFFF * Lanes.TRIPLES);
                lanes = Lanes.fromReadings(lanes, Lanes.TRIPLES);
                uint256 range = Lanes.inRange(lanes, lower, upper);
                uint256 jumps = Lanes.inStep(lanes, (lanes >> 48) | before, step);
                if ((~(range & jumps) & (Lanes.HIGH >> 16)) | ((lanes | before) & Lanes.SPILL) != 0) {
                    if ((lanes | before) & Lanes.SPILL != 0) break;
                    jumps = Lanes.flagsOf(range, jumps, kept & Lanes.HIGH, Lanes.TRIPLES);
                    // A gap of 0: a time not after the one before. But the first gap counts from the batch's start.
                    range = ((~range & kept) >> 47) & Lanes.TRIPLES;
                    if (place == run.data) range &= ~uint256(1 << 192);
                    run.next = BatchLog.addAll(run.next, (place - run.data) / 6, (jumps | range) << 16, 48);
                }
                before = lanes << 192;
                place += 30;
            }
            return (place, before);
        }
    }

    /// @dev Delta: the first reading by itself, then sixteen a word, temperatures and humidities apart.
    function _delta(
        uint256 slot,
        uint256 rules,
        uint256 header,
        uint256 data,
        uint256 next
    ) private pure returns (uint256, uint256) {
        unchecked {
            (uint256 lower, uint256 upper, uint256 step) = rules.lanes();
            uint256 before = Lanes.fromReading(_load(data) >> 224);
            {
                uint256 last = _before(slot, _load(data) >> 224);
                uint256 good = Lanes.inRange(before, lower, upper) & Lanes.inStep(before, last, step);
                if ((~good & 0x80008000) | ((last | before) & Lanes.SPILL) != 0) {
                    (, next) = _oneWord(Walk(rules, header, data, slot, slot.values(), 0, 0), 0, 1, next);
                }
            }
            Lanes.ChangeBounds memory b = Lanes.changeBounds(lower, upper, step);
            uint256 end = data + 2 + 2 * header.count();
            uint256 place = data + 4;
            (place, before) = Lanes.skipChanges(place, end - 31, before, b);
            while (place < end) {
                uint256 kept = _kept(end - place);
                (uint256 flags, uint256 last) = Lanes.judgeChanges(_load(place) & kept, before, b);
                if (flags == Lanes.SPILT) {
                    Walk memory walk = Walk(rules, header, data, slot, Lanes.toReading(before), 0, 0);
                    (last, next) = _oneWord(walk, (place - data) / 2 - 1, 16, next);
                    last = Lanes.fromReading(last);
                } else {
                    next = BatchLog.addAll(next, (place - data) / 2 - 1, flags & kept, 16);
                }
                place += 32;
                before = last;
                if (place < end) (place, before) = Lanes.skipChanges(place, end - 31, before, b);
            }
            return (Lanes.toReading(before), next);
        }
    }

    /// @dev The highest bits of a word, of so many bytes.
    function _kept(uint256 length) private pure returns (uint256) {
        return length < 32 ? ~(ALL >> (length * 8)) : ALL;
    }

    /// @dev The lanes of the reading before the first; of a new device, those of the first, which then is no step away.
    function _before(uint256 slot, uint256 first) private pure returns (uint256) {
        return Lanes.fromReading(slot.sequence() == 0 ? first : slot.values());
    }

    /// @dev Reading by reading through a word of a batch whose times hold. Then only gaps count: time may begin at 1.
    /// @param walk All but its times.
    function _oneWord(
        Walk memory walk,
        uint256 from,
        uint256 length,
        uint256 next
    ) private pure returns (uint256, uint256) {
        unchecked {
            walk.time = 1;
            if (from != 0) walk.lastTime = 1;
            uint256 to = from + length;
            uint256 n = walk.header.count();
            next = _oneByOne(walk, ALL, from, to < n ? to : n, next);
            return (walk.values, next);
        }
    }

    /// @dev Reading by reading, `from` up to but not including `to`.
    function _oneByOne(
        Walk memory walk,
        uint256 latest,
        uint256 from,
        uint256 to,
        uint256 next
    ) private pure returns (uint256) {
        unchecked {
            uint256 before = walk.values;
            bool stepless = from == 0 && walk.slot.sequence() == 0;
            for (uint256 i = from; i < to; ++i) {
                uint256 values = _advance(walk, i, before);
                uint256 verdict = Judge.time(walk.time, walk.lastTime, latest);
                if (verdict == 0) walk.lastTime = walk.time;
                verdict |= Judge.values(walk.rules, stepless ? values : before, values);
                if (verdict != 0) next = BatchLog.add(next, i, verdict);
                before = values;
                stepless = false;
            }
            walk.values = before;
            return next;
        }
    }

    /// @dev Moves the time to reading `i`'s, and gives its values.
    function _advance(Walk memory walk, uint256 i, uint256 before) private pure returns (uint256) {
        unchecked {
            uint256 header = walk.header;
            uint256 place = walk.data;
            if (header.format() == BatchHeader.TIMED) {
                place = _load(place + 6 * i);
                walk.time += place >> 240;
                return uint32(place >> 208);
            }
            if (i != 0) walk.time += header.period();
            if (header.format() == BatchHeader.REGULAR || i == 0) return _load(place + 4 * i) >> 224;
            place = _load(place + 2 * i + 2);
            uint256 temperature = (before >> 16) + uint256(int256(int8(uint8(place >> 248))));
            uint256 humidity = before + uint256(int256(int8(uint8(place >> 240))));
            return (uint256(uint16(temperature)) << 16) | uint16(humidity);
        }
    }

    function _load(uint256 place) private pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := calldataload(place)
        }
    }
}
