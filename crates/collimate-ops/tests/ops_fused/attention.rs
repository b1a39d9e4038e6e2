//! Attention over segments.

use super::*;

#[test]
fn attention() {
    let segment = |start, len, parent| Segment { start, len, parent };
    let tables: [Vec<Segment>; 4] = [
        vec![segment(0, 1, None)],
        vec![segment(0, 70, None), segment(70, 3, None)],
        // A chain of depth three with a sibling, and an unrelated tree in between.
        vec![
            segment(0, 4, None),
            segment(4, 5, None),
            segment(9, 1, Some(0)),
            segment(10, 40, Some(2)),
            segment(50, 2, Some(0)),
            segment(52, 17, Some(3)),
        ],
        vec![
            segment(0, 33, None),
            segment(33, 33, Some(0)),
            segment(66, 20, Some(0)),
        ],
    ];
    for table in &tables {
        let tokens = table.iter().map(|s| s.len).sum();
        let causal = AttentionPlan::new(table, Visibility::Causal).unwrap();
        let mut plans = vec![
            causal.clone(),
            AttentionPlan::new(table, Visibility::Bidirectional).unwrap(),
        ];
        for plan in plans.clone() {
            let windows = [1, 5, 16, 40, 500].into_iter();
            plans.extend(windows.map(|window| plan.clone().with_window(NonZeroUsize::new(window))));
        }
        for (index, plan) in plans.clone().into_iter().enumerate() {
            let scores = Scores {
                scale: [Some(0.3), None][index % 2],
                softcap: [Some(2.0), Some(0.7), None][index % 3],
            };
            plans.push(plan.with_scores(scores));
        }
        for plan in plans {
            for (query, key_value, head_dim) in [(1, 1, 2), (4, 2, 16), (3, 3, 20), (6, 1, 32)] {
                let heads = Heads::new(query, key_value, head_dim).unwrap();
                let inputs = [
                    values(1, tokens, query * head_dim),
                    values(2, tokens, key_value * head_dim),
                    values(3, tokens, key_value * head_dim),
                ];
                agree(
                    &format!(
                        "attention {:?} {:?} {:?} {heads:?} {table:?}",
                        plan.visibility(),
                        plan.window(),
                        plan.scores(),
                    ),
                    &inputs,
                    &|t| {
                        let [q, k, v] = [0, 1, 2].map(|i| t[i].clone());
                        collimate_ops::segment_attention(q, k, v, &plan, heads)
                    },
                    &|t| {
                        let [q, k, v] = [0, 1, 2].map(|i| t[i].clone());
                        naive::segment_attention(q, k, v, &plan, heads)
                    },
                );
            }
        }
    }
}
