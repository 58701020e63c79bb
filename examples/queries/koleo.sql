-- What a sweep holds and what its confirm stage shows, with the tables of sweeps/results/views.sql.
-- The variable `results` is the folder of the sweep; query.py sets it, in the DuckDB shell `set variable results =` does.

-- Trials by stage, cell and ending.
select stage, cell_id, end_reason, count(*) as n
from trials(getvariable('results'))
group by all order by all;

-- KoLeo on minus off in each block of the confirm stage. A mean of these is an effect; of search trials it would not be.
select block,
    max(test_auc) filter (where cell_id = 'koleo=off') as off,
    max(test_auc) filter (where cell_id = 'koleo=on') as "on",
    "on" - off as difference
from trials(getvariable('results'))
where stage = 'confirm' and cell_id in ('koleo=off', 'koleo=on')
group by block order by block;

-- How far nearest neighbours are apart at each epoch, by cell.
select cell_id, epoch, avg(val_nn_distance) as nn_distance, count(*) as n
from curves(getvariable('results')) join trials(getvariable('results')) using (stage, trial_id)
where stage = 'confirm'
group by all order by all;
