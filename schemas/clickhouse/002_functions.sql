-- Histogram layout 1: bin 0 holds |value| < 2^-20; above it 64 linear bins per power of two, so the
-- upper 18 bits of a float64 are the bin; negative values have the negated index. 64191 is the bits
-- of 2^-20 shifted right by 46, minus 1. A bin is represented by the midpoint of its edges.

CREATE OR REPLACE FUNCTION fleetpulse_bin_edge AS (bin) ->
    reinterpretAsFloat64(bitShiftLeft(toUInt64(abs(bin) + 64191), 46));

CREATE OR REPLACE FUNCTION fleetpulse_bin_value AS (bin) ->
    if(bin = 0, 0., sign(bin) * (fleetpulse_bin_edge(bin) + fleetpulse_bin_edge(abs(bin) + 1)) / 2);

-- For each quantile the value of the smallest bin whose cumulative count reaches rank
-- ceil(quantile * points), at least 1. `histogram` = (bins ascending, counts), not empty.
CREATE OR REPLACE FUNCTION fleetpulse_quantiles AS (histogram, quantiles) ->
    arrayMap(bin -> fleetpulse_bin_value(bin), arrayMap(
        quantile -> histogram.1[arrayFirstIndex(
            reached -> reached >= greatest(1, ceil(quantile * arraySum(histogram.2))),
            arrayCumSum(histogram.2))],
        quantiles));

-- One quantile; NaN when there are no points.
CREATE OR REPLACE FUNCTION fleetpulse_quantile AS (histogram, quantile) ->
    if(empty(histogram.1), nan, fleetpulse_quantiles(histogram, [quantile])[1]);
