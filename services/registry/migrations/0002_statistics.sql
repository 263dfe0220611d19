-- Status and plan are not independent: trials are on few plans, suspended tenants on others. Taken as independent, a rare
-- pair looks like no row at all, and a list sorts all of its rows instead of reading the first ones from their index.
CREATE STATISTICS tenants_status_plan (ndistinct, dependencies, mcv) ON status, plan FROM tenants;
